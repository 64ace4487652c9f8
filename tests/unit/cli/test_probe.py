"""`agentcg probe` where it cannot begin, and addresses as people read them."""

import os
import socket
import struct
from typing import Any

import pytest

from agentcg.cli.output import Sheet
from agentcg.cli.probe import _print
from agentcg.kernel.tracer import address
from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
from agentcg.model.traced import Question, Traced
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"", "no address"),
        (struct.pack("=H", socket.AF_INET), "family 2"),
        (
            struct.pack("=H", socket.AF_INET) + b"\x01\xbb\x0a\x00\x00\x01" + bytes(8),
            "10.0.0.1:443",
        ),
        (
            struct.pack("=H", socket.AF_INET6) + b"\0\x50" + bytes(4) + bytes(15) + b"\x01",
            "[::1]:80",
        ),
        (struct.pack("=H", socket.AF_UNIX) + b"/run/x\0garbage", "unix:/run/x"),
        (struct.pack("=H", socket.AF_UNIX) + b"\0ab\xff", "unix:@ab\\xff"),
        (struct.pack("=H", socket.AF_NETLINK) + bytes(10), "family 16"),
    ],
)
def test_an_address_is_shown_as_people_write_it(raw: bytes, shown: str) -> None:
    assert address(raw) == shown


def test_what_to_look_at_has_to_be_there(
    server: Running, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    code, _, err = cli("probe", "exec", "--session", "s-none")
    assert code == 1
    assert "no session 's-none'" in err
    server.controller.add("c-1", Intent(), Grant(), session=HOME)
    code, _, err = cli("probe", "exec", "--call", "c-1")
    assert code == 1
    assert "call c-1 is running and has no cgroup" in err
    code, _, err = cli("probe", "exec")
    assert code == 2


def test_who_is_not_root_is_told(
    server: Running, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, _, err = cli("probe", "exec", "--session", HOME)
    assert code == 4
    assert "run this as root" in err


@pytest.mark.parametrize(
    ("question", "one", "shown"),
    [
        (Question.EXEC, {"text": "ls /"}, "c-1                7 make            ls /"),
        (
            Question.OPEN,
            {"text": "/x", "result": -2, "took": 0.002},
            "c-1                7 make               2 ms ENOENT      /x",
        ),
        (
            Question.OPEN,
            {"text": "\x1b]0;x", "result": -512},
            "c-1                7 make                0 s interrupted \\x1b]0;x",
        ),
        (
            Question.BLOCKIO,
            {"text": "write vda", "pid": 0, "bytes": 4096, "result": -10, "took": 1.0},
            "c-1              4 KiB     1 s failed (status 10) write vda",
        ),
    ],
)
def test_a_line_says_what_happened(
    question: Question, one: dict[str, Any], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"at": 1.0, "cgroup_id": 9, "pid": 7, "program": "make"} | one
    _print(Traced(**given), "c-1", question, Sheet.TABLE)
    assert capsys.readouterr().out == f"{shown}\n"
