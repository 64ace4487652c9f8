"""The adapter for kvcached and a peer that is as stubborn as kvcached is."""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.errors import AgentcgError, BadValueError, DeniedError, UnavailableError
from agentcg.gpu.kvcached import Kvcached
from agentcg.gpu.poke import Poke
from agentcg.model.gpu import ProgramId, Shrink, ShrinkStatus
from tests.gpu.kv import KEPT, PAGE, Peer, served, watched

APPLIED, DEFERRED, STALE = ShrinkStatus.APPLIED, ShrinkStatus.DEFERRED, ShrinkStatus.STALE
LONG = 20.0
SHORT = 0.4


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    one = Peer(tmp_path / "kv", pages=100)
    with watched(one):
        yield one
    one.close()


def engine(peer: Peer, poke: Poke | None = None) -> Kvcached:
    return Kvcached("kv", folder=peer.file.parent, owners=[os.getuid()], poke=poke)


def test_what_it_tells(peer: Peer) -> None:
    peer.alloc(10)
    peer.free(4, cache=4)
    one = engine(peer)
    caps, stats = one.probe(), one.stats()
    assert (caps.shrink, caps.shrink_live, caps.evict) == (Shrink.BYTES, True, False)
    assert (stats.kv_limit, stats.kv_used) == (100 * PAGE, (10 + KEPT) * PAGE)
    assert (stats.kv_reclaimable, stats.running, stats.pids) == (None, None, ())
    assert not one.evict(ProgramId("p"))


def test_room_that_was_never_mapped(peer: Peer) -> None:
    peer.alloc(10)
    found = engine(peer).limit(40 * PAGE, revision=1, timeout=LONG)
    assert (found.status, found.asked, found.freed) == (APPLIED, 40 * PAGE, 0)


def test_a_limit_that_it_has_not_looked_at_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer(tmp_path / "kv", pages=100)
    monkeypatch.setattr("agentcg.gpu.kvcached.time.sleep", lambda _: peer.watch())
    found = engine(peer).limit(40 * PAGE, revision=1, timeout=LONG)
    assert (found.status, peer.target) == (APPLIED, 40)
    peer.close()


def test_an_idle_engine_does_not_shrink_until_it_is_poked(peer: Peer) -> None:
    peer.alloc(60)
    peer.free(60, cache=60)
    unpoked = engine(peer).limit(30 * PAGE, revision=1, timeout=SHORT)
    assert (unpoked.status, unpoked.freed, peer.pages) == (DEFERRED, 0, 100)
    with served(peer) as url:
        found = engine(peer, Poke(url)).limit(30 * PAGE, revision=2, timeout=LONG)
    assert (found.status, peer.pages) == (APPLIED, 30)
    assert found.freed == (60 + KEPT) * PAGE - peer.mapped > 0


def test_what_is_in_use_defers_it(peer: Peer) -> None:
    peer.alloc(60)
    peer.free(10, cache=10)
    with served(peer) as url:
        one = engine(peer, Poke(url))
        found = one.limit(30 * PAGE, revision=1, timeout=2.0)
        assert found.status is DEFERRED
        peer.free(50)
        assert one.limit(30 * PAGE, revision=2, timeout=LONG).status is APPLIED


def test_nothing_to_poke_it_with(peer: Peer) -> None:
    peer.alloc(60)
    found = engine(peer).limit(30 * PAGE, revision=1, timeout=SHORT)
    assert (found.status, found.revision) == (DEFERRED, 1)
    assert "poke" in found.reason


def test_a_poke_that_fails(peer: Peer) -> None:
    peer.alloc(60)
    found = engine(peer, Poke("http://127.0.0.1:9")).limit(30 * PAGE, revision=1, timeout=SHORT)
    assert found.status is DEFERRED
    assert "127.0.0.1:9" in found.reason


def test_grown_at_once(peer: Peer) -> None:
    one = engine(peer)
    one.limit(30 * PAGE, revision=1, timeout=LONG)
    assert one.limit(90 * PAGE, revision=2, timeout=LONG).status is APPLIED
    assert one.stats().kv_limit == 90 * PAGE


def test_what_is_overtaken_is_stale(peer: Peer) -> None:
    one = engine(peer)
    one.limit(30 * PAGE, revision=5, timeout=LONG)
    found = one.limit(90 * PAGE, revision=4, timeout=LONG)
    assert (found.status, found.revision) == (STALE, 5)
    assert one.stats().kv_limit == 30 * PAGE


def test_a_lock_that_is_kept(peer: Peer) -> None:
    fd = os.open(peer.file, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    with pytest.raises(UnavailableError, match="locked"):
        engine(peer).limit(30 * PAGE, revision=1, timeout=0.05)
    os.close(fd)


def linked(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def linked_hard(file: Path) -> None:
    file.with_name("other").hardlink_to(file)


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def short(file: Path) -> None:
    os.truncate(file, 8)


def negative(file: Path) -> None:
    file.write_bytes(struct.pack("<3q", -1, 0, 0))


@pytest.mark.parametrize("odd", [linked, linked_hard, a_pipe, short, negative, Path.unlink])
def test_files_that_are_not_the_engine_s(tmp_path: Path, odd: Callable[[Path], None]) -> None:
    file = tmp_path / "kv"
    file.write_bytes(struct.pack("<3q", 10, 5, 0))
    odd(file)
    one = Kvcached("kv", folder=tmp_path, owners=[os.getuid()])
    for ask in (one.probe, lambda: one.limit(3, revision=1, timeout=0.0)):
        with pytest.raises(AgentcgError, match="kv"):
            ask()


def test_of_another_user(peer: Peer) -> None:
    one = Kvcached("kv", folder=peer.file.parent, owners=[os.getuid() + 1])
    with pytest.raises(DeniedError, match="uid"):
        one.probe()


def test_warnings(peer: Peer) -> None:
    anybody, idle = engine(peer).warnings()
    assert "chmod o-w" in anybody
    assert "poke" in idle
    peer.file.chmod(0o600)
    assert engine(peer, Poke("http://localhost:1")).warnings() == ()


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "file:///etc/passwd", "localhost", ""])
def test_only_this_host_is_poked(url: str) -> None:
    with pytest.raises(BadValueError, match="127"):
        Poke(url)
