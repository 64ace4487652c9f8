"""What `acg run` sends, and what the waiting process looks like to the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acg.client import Client
from tests.acg.peer import Seen, ok, peer

BODY_MAX = 32 * 1024


def ask(client: Client, *args: str | bytes, env: dict[str, str] | None = None) -> Seen:
    with peer(client.sock, ok()) as seen:
        done = client.run("run", *args, env=env or {})
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return seen


def test_head(client: Client) -> None:
    seen = ask(client, "--", "/bin/true")
    assert seen.head.split(b"\r\n") == [
        b"POST /v1/acg/run HTTP/1.1",
        b"Host: agentcg",
        b"Connection: close",
        b"Content-Type: application/vnd.agentcg.acg",
        b"Content-Length: %d" % len(seen.body),
    ]


def test_records_in_order(client: Client, tmp_path: Path) -> None:
    env = {
        "HOME": "/root",
        "AGENT_RESOURCE_HINT": "memory:2g",
        "AGENT_RESOURCE_HINTS": "not asked for",
        "TRACEPARENT": "00-1-2-00",
        "CLAUDE_CODE_SESSION_ID": "abc",
        "AGENTCG_TOOL": "Bash",
        "NOT_AGENTCG_TOOL": "x",
        "OPENAI_API_KEY": "secret",
    }
    with peer(client.sock, ok()) as seen:
        args = ["--memory=2g", "", "-x", "--", "/bin/true", "--", "a b", ""]
        assert client.run("run", *args, env=env, cwd=tmp_path).returncode == 0
    assert seen.records == [
        *(b"O--memory=2g", b"O", b"O-x"),
        *(b"A/bin/true", b"A--", b"Aa b", b"A"),
        b"D" + os.fsencode(tmp_path),
        *(b"EAGENT_RESOURCE_HINT=memory:2g", b"ETRACEPARENT=00-1-2-00"),
        *(b"ECLAUDE_CODE_SESSION_ID=abc", b"EAGENTCG_TOOL=Bash"),
    ]


def test_any_bytes(client: Client) -> None:
    seen = ask(client, b"--name=\xff\n", "--", "/bin/true", b"\x01\xfe")
    assert seen.tagged(b"O") == [b"--name=\xff\n"]
    assert seen.tagged(b"A") == [b"/bin/true", b"\x01\xfe"]


@pytest.mark.parametrize("empty", [{}, {"PATH": "/nowhere"}])
def test_no_variables(client: Client, empty: dict[str, str]) -> None:
    assert ask(client, "--", "/bin/true", env=empty).tagged(b"E") == []


def test_long_variables_stay(client: Client) -> None:
    fits = "x" * (1024 - len("AGENTCG_A="))
    env = {"AGENTCG_A": fits, "AGENTCG_B": fits + "x", "TRACEPARENT": "y" * 2000}
    assert ask(client, "--", "/bin/true", env=env).tagged(b"E") == [f"AGENTCG_A={fits}".encode()]


def test_sixteen_own_variables(client: Client) -> None:
    env = {f"AGENTCG_{i}": "x" for i in range(30)} | {"TRACEPARENT": "t"}
    sent = ask(client, "--", "/bin/true", env=env).tagged(b"E")
    assert len(sent) == 17
    assert sent[-1] == b"TRACEPARENT=t"


def test_command_that_just_fits(client: Client) -> None:
    words = ["/bin/true", "x" * (4096 - len("A/bin/true\0") - 2)]
    seen = ask(client, "--", *words)
    assert seen.tagged(b"A") == [word.encode() for word in words]
    assert seen.tagged(b"T") == []


def test_command_cut_in_a_word(client: Client) -> None:
    seen = ask(client, "--", "/bin/true", "x" * 9000, "never")
    sent = seen.tagged(b"A")
    assert sent == [b"/bin/true", b"x" * (4096 - len("A/bin/true\0") - 2)]
    assert seen.tagged(b"T") == [b""]
    assert [record[:1] for record in seen.records[:4]] == [b"A", b"A", b"T", b"D"]


def test_command_cut_between_words(client: Client) -> None:
    seen = ask(client, "--", "/bin/true", "x" * (4096 - len("A/bin/true\0") - 2), "")
    assert len(seen.tagged(b"A")) == 2
    assert seen.tagged(b"T") == [b""]


def test_many_words(client: Client) -> None:
    seen = ask(client, "--", "/bin/true", *["y"] * 5000)
    assert sum(len(word) + 2 for word in seen.tagged(b"A")) <= 4096
    assert seen.tagged(b"T") == [b""]


@pytest.mark.parametrize(
    ("left", "command"),
    [(2, []), (4, []), (5, [b"A/"]), (11, [b"A/bin/tr"]), (12, [b"A/bin/tru"])],
)
def test_options_go_first(client: Client, left: int, command: list[bytes]) -> None:
    """What they leave is for the command, and that it was cut always shows."""
    option = "o" * (BODY_MAX - 2 - left)
    seen = ask(client, option, "--", "/bin/true", env={"AGENTCG_TOOL": "Bash"})
    assert seen.records == [b"O" + option.encode(), *command, b"T"]


@pytest.mark.parametrize("size", [BODY_MAX - 3, BODY_MAX, 100_000])
def test_options_too_long(client: Client, size: int) -> None:
    done = client.run("run", "o" * size, "--", "/bin/true")
    assert done.returncode == 125
    assert done.stderr == b"acg: run: the options are longer than 32 KiB\n"


def test_peer_is_the_command(client: Client) -> None:
    """One thread, no children, and the pid is the one that the command will have."""
    with peer(client.sock, ok()) as seen:
        done = client.run("run", "--", "/bin/sh", "-c", "echo $$")
    assert int(done.stdout) == seen.pid
    assert seen.threads == 1
    assert seen.children in {"", "not read"}


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the uid needs root")
def test_another_uid(client: Client) -> None:
    with peer(client.sock, ok(b"EA=1")) as seen:
        done = client.run("run", "--", "/bin/sh", "-c", "echo $A; id -u", user=1000)
    assert done.stdout == b"1\n1000\n"
    assert seen.uid == 1000
