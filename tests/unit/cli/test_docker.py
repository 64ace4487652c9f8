"""`agentcg docker`: dockerd's file gets our runtime and loses it; what others wrote stays."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from agentcg.cli import docker
from agentcg.cli.docker import disabled, enabled
from agentcg.errors import ConflictError
from tests.unit.cli.conftest import Run
from tests.unit.sandbox.dockerd import running

Json = Any
OTHERS: Json = {
    "bridge": "none",
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []}},
    "log-opts": {"max-size": "1m"},
}


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's paths, below another root."""
    made = tmp_path / "acg-runc"
    made.touch(0o755)
    runc = tmp_path / "bin/runc"
    runc.parent.mkdir()
    runc.touch(0o755)
    monkeypatch.setattr(docker, "SHIM", made)
    monkeypatch.setattr(docker, "REAL", tmp_path / "etc/agentcg/runtime")
    monkeypatch.setattr(docker, "_PATH", str(runc.parent))
    monkeypatch.setattr(docker, "PID_FILE", tmp_path / "docker.pid")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "docker/daemon.json"


@pytest.mark.parametrize("doc", [{}, OTHERS, {"default-runtime": "runc"}, {"runtimes": {}}])
def test_in_again_and_out(doc: Json) -> None:
    once = enabled(doc, "/shim")
    assert once["runtimes"]["agentcg"] == {"path": "/shim"}
    assert enabled(once, "/shim") == once
    assert {k: v for k, v in once.items() if k != "runtimes"} == {
        k: v for k, v in doc.items() if k != "runtimes"
    }
    assert disabled(once) == {k: v for k, v in doc.items() if v != {}}
    assert enabled(once, "/other")["runtimes"]["agentcg"] == {"path": "/other"}


def test_the_default_is_taken_only_from_dockerds_own() -> None:
    for doc in ({}, {"default-runtime": "runc"}):
        made = enabled(doc, "/shim", default=True)
        assert made["default-runtime"] == "agentcg"
        assert disabled(made) == {}
    with pytest.raises(ConflictError, match='"nvidia" already'):
        enabled({"default-runtime": "nvidia"}, "/shim", default=True)
    assert disabled({"default-runtime": "nvidia"}) == {"default-runtime": "nvidia"}


@pytest.mark.usefixtures("shim")
def test_the_file_keeps_its_mode_its_indent_and_what_is_not_ours(cli: Run, file: Path) -> None:
    file.parent.mkdir()
    before = json.dumps(OTHERS, indent=4) + "\n"
    file.write_text(before)
    file.chmod(0o600)
    code, out, _ = cli("docker", "enable", "--file", str(file))
    assert (code, out.splitlines()[0]) == (0, f"wrote {file}")
    assert "systemctl reload docker" in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "nothing to change" in cli("docker", "enable", "--file", str(file))[1]
    assert cli("docker", "status", "--file", str(file))[0] == 0
    assert cli("docker", "disable", "--file", str(file))[0] == 0
    assert file.read_text() == before
    assert cli("docker", "status", "--file", str(file))[0] == 1


def test_where_there_is_no_file(cli: Run, shim: Path, file: Path) -> None:
    assert cli("docker", "status", "--file", str(file))[0] == 1
    assert cli("docker", "disable", "--file", str(file))[0] == 0
    assert not file.exists()
    assert cli("docker", "enable", "--file", str(file))[0] == 0
    assert json.loads(file.read_text()) == {"runtimes": {"agentcg": {"path": str(shim)}}}


@pytest.mark.usefixtures("shim")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{// mine\n"a": 1}', "make the change by hand"),
        ('{"a": 1, "a": 2}', "a key is there twice"),
        ("[]", "no JSON object"),
        ('{"runtimes": []}', "runtimes: is no JSON object"),
    ],
)
def test_what_dockerd_could_not_read_is_left_alone(
    cli: Run, file: Path, text: str, words: str
) -> None:
    file.parent.mkdir()
    file.write_text(text)
    for verb in ("enable", "disable"):
        code, _, err = cli("docker", verb, "--file", str(file))
        assert code != 0
        assert words in " ".join(err.split())
    assert file.read_text() == text
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_must_be_there(cli: Run, shim: Path, file: Path, tmp_path: Path) -> None:
    where = ("--file", str(file))
    for real in ("/nowhere", "bin/runc", str(shim)):
        assert cli("docker", "enable", *where, "--real", real)[0] != 0
    (tmp_path / "bin/runc").unlink()
    assert "--real" in cli("docker", "enable", *where)[2]
    crun = tmp_path / "crun"
    crun.touch(0o755)
    assert cli("docker", "enable", *where, "--real", str(crun))[0] == 0
    assert docker.REAL.read_text() == f"{crun}\n"
    assert docker.REAL.stat().st_mode & 0o777 == 0o644
    shim.unlink()
    assert "agentcg install" in cli("docker", "enable", *where)[2]


@pytest.mark.usefixtures("shim")
def test_only_dockerd_is_told(cli: Run, file: Path) -> None:
    for text in ("", "x", str(os.getpid())):
        docker.PID_FILE.write_text(text)
        code, _, err = cli("docker", "enable", "--reload", "--file", str(file))
        assert code != 0
        assert "docker.pid" in err


def test_whether_dockerd_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "sock") as engine:
        monkeypatch.setattr(
            "agentcg.settings.Docker", lambda: type("D", (), {"socket": engine.socket})()
        )
        assert "does not know it" in docker._known()
        engine.runtimes["agentcg"] = {"path": "/x"}
        assert docker._known() == "knows it"
    assert "start dockerd" in docker._known()


def test_uninstall_does_not_take_it_from_containers(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "configured", lambda: "/usr/local/lib/agentcg/acg-runc")
    monkeypatch.setattr("agentcg.cli.setup._bare_sessions", list)
    code, _, err = cli("uninstall")
    assert code != 0
    assert "docker disable" in err
