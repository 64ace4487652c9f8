import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcg import native
from agentcg.errors import UnsupportedError
from tests.unit.api.fake import Running
from tests.unit.cli.conftest import Run

ROOT = Path(__file__).parents[3]


def test_doctor_tells_what_the_daemon_found(cli: Run, server: Running) -> None:
    code, out, _ = cli("doctor")
    assert code == 0
    assert "tier T0" in out
    assert "io        NO    no iocost" in out


def test_doctor_looks_itself_without_a_daemon(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCG_SOCKET", str(tmp_path / "none"))
    code, out, _ = cli("doctor", "--cgroup", str(tmp_path), "-o", "json")
    assert code == 0
    found = json.loads(out)
    assert "no daemon answers" in found["source"]
    by_name = {check["name"]: check for check in found["mechanisms"]}
    assert by_name["cgroup2"]["works"] is False


def test_events_of_the_past_are_printed_and_that_is_it(cli: Run, server: Running) -> None:
    code, out, _ = cli("events")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == ["e1", "e2", "e3"]
    _, out, _ = cli("events", "--after", "2", "-o", "json")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [3]
    server.controller.past = []
    assert cli("events")[1] == "no events are remembered\n"


def test_a_good_and_a_bad_configuration_are_told_apart(cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "agentcg.yaml"
    file.write_text("calls:\n  pids: 100\n")
    assert cli("config", "check", str(file)) == (0, f"{file}: good\n", "")
    file.write_text("calls:\n  pids: 100\n  pidz: 100\n")
    code, _, err = cli("config", "check", str(file))
    assert code == 1
    assert f"{file}:3: calls.pidz" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(cli: Run, shell: str) -> None:
    code, out, _ = cli("completion", shell)
    assert code == 0
    assert "_AGENTCG_COMPLETE" in out


def test_completion_completes() -> None:
    env = {"_AGENTCG_COMPLETE": "complete_bash", "COMP_WORDS": "agentcg fr", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "agentcg"],
        env=os.environ | env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["freeze"]


def test_run_hands_every_word_to_the_native_client(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    monkeypatch.setattr(os, "execv", lambda path, argv: found.append((path, argv)))
    monkeypatch.setattr(native, "acg", lambda: tmp_path / "acg")
    assert cli("run", "--memory", "2g", "--", "ls", "--", "-o", "--help")[0] == 0
    words = [str(tmp_path / "acg"), "run", "--memory", "2g", "--", "ls", "--", "-o", "--help"]
    assert found == [(tmp_path / "acg", words)]
    assert "intent" in cli("run", "--help")[1]
    assert len(found) == 1


def test_the_native_client_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "agentcg"
    monkeypatch.setattr(native, "_PACKAGE", package)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(UnsupportedError, match="make acg"):
        native.acg()
    for place in ("bin/acg", "build/acg", "agentcg/_native/acg"):
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.touch(mode=0o755)
        assert native.acg() == file


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, agentcg.cli.main; "
        "print(sorted({'pydantic', 'httpx2', 'fastapi', 'yaml', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_word_that_is_no_command_is_wrong_usage(cli: Run) -> None:
    assert cli("frobnicate")[0] == 2
    assert cli("ps", "-o", "yaml")[0] == 2
