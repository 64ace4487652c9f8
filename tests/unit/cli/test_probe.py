"""`agentcg probe` where it cannot begin, and addresses as people read them."""

import os
import socket
import struct

import pytest

from agentcg.kernel.tracer import address
from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
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


def test_what_to_look_at_has_to_be_there(server: Running, cli: Run) -> None:
    code, _, err = cli("probe", "exec", "--session", "s-none")
    assert code == 1
    assert "no session 's-none'" in err
    server.controller.add("c-1", Intent(), Grant(), session=HOME)
    code, _, err = cli("probe", "exec", "--call", "c-1")
    assert code == 1
    assert "call c-1 is running: it has no cgroup" in err
    code, _, err = cli("probe", "exec")
    assert code == 2


def test_who_is_not_root_is_told(
    server: Running, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, _, err = cli("probe", "exec", "--session", HOME)
    assert code == 4
    assert "run this as root" in err
