"""The two sockets, bound or taken over."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.api.controller import Door
from agentcg.control import doors
from agentcg.errors import UnavailableError
from agentcg.settings_parts import Web
from tests.unit.api.test_server import fds


@pytest.fixture(autouse=True)
def without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def opened(run: Path) -> Iterator[dict[Door, socket.socket]]:
    with contextlib.ExitStack() as stack:
        found = doors.sockets(run)
        for sock in found.values():
            stack.enter_context(sock)
        yield found


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def test_without_systemd_both_sockets_are_bound_with_their_rights(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as found:
        assert set(found) == {Door.ADMIN, Door.AGENT}
        admin, agent = tmp_path / "run/admin.sock", tmp_path / "run/agent/sock"
        assert stat.S_IMODE(admin.stat().st_mode) == 0o660
        assert stat.S_IMODE(agent.stat().st_mode) == 0o666
        assert connects(admin)
        assert connects(agent)
        assert not found[Door.ADMIN].get_inheritable()
        assert not found[Door.ADMIN].getblocking()


def test_binding_leaves_the_umask_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with opened(tmp_path):
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_socket_that_a_dead_daemon_left_is_taken_over(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    assert (tmp_path / "admin.sock").exists()
    with opened(tmp_path):
        assert connects(tmp_path / "admin.sock")


def test_a_file_in_the_way_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "admin.sock").touch()
    with opened(tmp_path):
        assert connects(tmp_path / "admin.sock")


def test_a_socket_that_lives_is_never_unlinked(tmp_path: Path) -> None:
    with opened(tmp_path):
        inode = (tmp_path / "admin.sock").stat().st_ino
        with pytest.raises(UnavailableError, match="another daemon listens there; stop it first"):
            doors.sockets(tmp_path)
        assert (tmp_path / "admin.sock").stat().st_ino == inode


def test_a_socket_that_lives_and_is_too_busy_to_answer_is_not_unlinked(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(5):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting.setblocking(False)
            waiting.connect_ex(str(path))
        with pytest.raises(UnavailableError, match="another daemon"):
            doors.sockets(tmp_path)
        assert path.exists()


def test_a_socket_of_another_kind_is_not_ours_to_unlink(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(UnavailableError):
            doors.sockets(tmp_path)
        assert path.exists()


def pass_on(monkeypatch: pytest.MonkeyPatch, names: str, first: int, count: int) -> None:
    monkeypatch.setattr(doors, "_FIRST_FD", first)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", str(count))
    monkeypatch.setenv("LISTEN_FDNAMES", names)


def in_a_row(*paths: Path) -> int:
    """Listening sockets on descriptors that follow each other; returns the first of these."""
    first = 200
    for number, path in enumerate(paths):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(str(path))
            sock.listen()
            os.dup2(sock.fileno(), first + number, inheritable=True)
    return first


def test_systemds_sockets_are_taken_by_name_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_a_row(tmp_path / "a", tmp_path / "b")
    pass_on(monkeypatch, "agent:admin", first, 2)
    with opened(tmp_path / "run") as found:
        assert found[Door.AGENT].getsockname() == str(tmp_path / "a")
        assert found[Door.ADMIN].getsockname() == str(tmp_path / "b")
        assert not found[Door.ADMIN].get_inheritable()
        assert not found[Door.ADMIN].getblocking()
        assert not (tmp_path / "run").exists()


def test_what_systemd_does_not_pass_is_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_a_row(tmp_path / "a")
    pass_on(monkeypatch, "agent", first, 1)
    with opened(tmp_path / "run") as found:
        assert found[Door.AGENT].getsockname() == str(tmp_path / "a")
        assert found[Door.ADMIN].getsockname() == str(tmp_path / "run/admin.sock")


def test_sockets_that_were_passed_to_another_process_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_FDNAMES", "admin:agent")
    with opened(tmp_path) as found:
        assert found[Door.ADMIN].getsockname() == str(tmp_path / "admin.sock")


def test_what_tells_of_the_daemon_lies_where_containers_see_it(tmp_path: Path) -> None:
    assert doors.down_file(tmp_path) == tmp_path / "agent/down"
    assert doors.alive_file(tmp_path) == tmp_path / "agent/alive"


def test_the_web_views_socket_is_on_loopback_and_off_by_default() -> None:
    assert doors.web(Web()) == {}
    with doors.web(Web(enabled=True, port=0))[Door.WEB] as sock:
        host, port = sock.getsockname()
        assert host == "127.0.0.1"
        assert not sock.get_inheritable()
        assert not sock.getblocking()
        before = fds()
        with pytest.raises(UnavailableError, match=f"web.port {port}: Address already in use"):
            doors.web(Web(enabled=True, port=port))
        assert fds() == before
