import json
import os
from pathlib import Path

import pytest

from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
from agentcg.model.wire import SessionBody
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda path, argv: found.append((str(path), argv)))
    return found


def test_status_tells_host_and_sessions(cli: Run, server: Running) -> None:
    code, out, _ = cli("status")
    assert code == 0
    assert "agentcg 0.1.0 on Linux 6.18, tier T0" in out
    assert "not available here: io" in out
    assert "s-home  bare        0  1 GiB 2 GiB        0 home" in out
    assert max(map(len, out.splitlines())) <= 80
    assert json.loads(cli("status", "-o", "json")[1])["sessions"][0]["session"]["id"] == "s-home"


def test_tree_shows_calls_below_their_session(cli: Run, server: Running) -> None:
    server.controller.add("c-1", Intent(command="[b]\x1b"), Grant(), session=HOME)
    code, out, _ = cli("tree")
    assert code == 0
    assert out.splitlines() == [
        "s-home home 1 GiB",
        r"└── c-1 running 5 MiB of - [b]\x1b",
    ]
    assert json.loads(cli("tree", "-o", "json")[1])[0]["calls"][0]["call"]["id"] == "c-1"


def test_open_takes_charge_of_itself_and_becomes_the_command(
    cli: Run, server: Running, executed: list[tuple[str, list[str]]]
) -> None:
    code, _, err = cli("open", "--memory", "2g", "--name", "n", "--", "sh", "-c", "echo --name")
    assert code == 0
    assert "agentcg: session s-1" in err
    body = server.controller.bodies[-1]
    assert isinstance(body, SessionBody)
    assert (body.runtime, body.pid, body.name) == ("bare", os.getpid(), "n")
    assert body.budget.memory == 2 * 2**30
    assert len(executed) == 1
    assert executed[0][0].endswith("/sh")
    assert executed[0][1] == ["sh", "-c", "echo --name"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--container", "box"), ("docker", "box", None)),
        (("--pid", "77", "--runtime", "scope"), ("scope", None, 77)),
        (("--runtime", "self", "--", "true"), ("self", None, None)),
    ],
)
def test_open_takes_charge_of_others(
    cli: Run,
    server: Running,
    executed: list[tuple[str, list[str]]],
    words: tuple[str, ...],
    expected: tuple[str, str | None, int | None],
) -> None:
    assert cli("open", *words)[0] == 0
    body = server.controller.bodies[-1]
    assert isinstance(body, SessionBody)
    assert (body.runtime, body.container, body.pid) == expected
    # What is not said is left to the daemon's configuration.
    assert not body.model_fields_set & {"id", "priority", "budget"}


def test_open_passes_on_what_is_said(cli: Run, server: Running) -> None:
    assert cli("open", "--pid", "7", "--id", "mine", "--priority", "0")[0] == 0
    body = server.controller.bodies[-1]
    assert isinstance(body, SessionBody)
    assert (body.id, body.priority) == ("mine", 0)
    assert "priority" in body.model_fields_set


def test_open_refuses_what_makes_no_sense(cli: Run, server: Running) -> None:
    assert cli("open")[0] == 2
    assert cli("open", "--pid", "1", "--container", "x")[0] == 2
    assert cli("open", "--", "no-such-program-here")[0] == 127
    code, _, err = cli("open", "--pid", "1", "--memory", "2 gallons")
    assert code == 2
    assert "budget.memory: '2 gallons'" in err
    assert server.controller.bodies == []


def test_close_closes(cli: Run, server: Running) -> None:
    cli("open", "--pid", "1")
    assert cli("close", "s-1") == (0, "s-1 is closed\n", "")
    assert cli("close", "s-1")[0] == 1


def test_what_is_denied_has_its_exit_code(
    cli: Run, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCG_SOCKET", str(server.agent))
    code, _, err = cli("open", "--pid", "1")
    assert code == 4
    assert "only the administrator" in err


def test_a_daemon_that_is_away_has_its_exit_code(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCG_SOCKET", str(tmp_path / "none"))
    for words in (("ps",), ("status",), ("events",), ("kill", "c")):
        code, _, err = cli(*words)
        assert code == 3
        assert "systemctl start agentcg" in err
