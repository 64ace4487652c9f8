"""/proc readers, on this process and on a fake /proc."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from agentcg.errors import BadValueError, ProcessGoneError, UnsupportedError
from agentcg.kernel import procfs

STAT = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 5555 " + "0 " * 29 + "1792\n"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    process = tmp_path / "42"
    (process / "task/42").mkdir(parents=True)
    (process / "task/43").mkdir()
    (process / "stat").write_text(STAT)
    (process / "comm").write_bytes(b"\xff odd\n")
    (process / "cgroup").write_text("3:memory:/x\n0::/agents/one\n")
    (process / "oom_score_adj").write_text("100\n")
    (process / "task/42/children").write_text("")
    (process / "task/43/children").write_text("")
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    return process


@pytest.mark.usefixtures("fake")
def test_stat_survives_an_odd_name() -> None:
    assert procfs.start_time(42) == 5555
    assert procfs.state(42) == "S"
    assert procfs.parent(42) == 7
    assert procfs.thread_count(42) == 3
    assert procfs.exit_code(42) == 1792
    assert procfs.comm(42) == "\udcff odd"


def test_cgroup_path(fake: Path) -> None:
    assert procfs.cgroup_path(42) == "/agents/one"
    (fake / "cgroup").write_text("3:memory:/x\n")
    with pytest.raises(UnsupportedError):
        procfs.cgroup_path(42)


def test_children_of_any_thread(fake: Path) -> None:
    assert not procfs.has_children(42)
    (fake / "task/43/children").write_text("99 ")
    assert procfs.has_children(42)


def test_oom_score_adj_only_rises(fake: Path) -> None:
    assert procfs.set_oom_score_adj(42, 500) == 500
    assert (fake / "oom_score_adj").read_text() == "500"
    assert procfs.set_oom_score_adj(42, 0) == 500
    assert (fake / "oom_score_adj").read_text() == "500"
    with pytest.raises(BadValueError):
        procfs.set_oom_score_adj(42, 1001)


@pytest.mark.usefixtures("fake")
def test_gone() -> None:
    for call in (procfs.start_time, procfs.comm, procfs.cgroup_path, procfs.has_children):
        with pytest.raises(ProcessGoneError) as caught:
            call(4242)
        assert caught.value.pid == 4242
    with pytest.raises(ProcessGoneError):
        procfs.set_oom_score_adj(4242, 1)
    with pytest.raises(ProcessGoneError):
        procfs.ns_id(4242, "pid")


def test_how_far_it_is_until_a_number_is_given_again(fake: Path) -> None:
    (fake.parent / "sys/kernel").mkdir(parents=True)
    (fake.parent / "sys/kernel/pid_max").write_text("1000\n")
    for last, pid, far in ((41, 42, 0), (42, 42, 999), (40, 42, 1), (900, 42, 141)):
        (fake.parent / "loadavg").write_text(f"0.30 0.80 1.02 1/87 {last}\n")
        assert procfs.numbers_until(pid) == far


def test_the_real_thing() -> None:
    me = os.getpid()
    assert procfs.start_time(me) > 0
    assert procfs.thread_count(me) >= 1
    assert procfs.ns_id(me, "user") == procfs.ns_id(me, "user")
    assert procfs.memory_total() > 2**20
    assert procfs.cpu_count() >= 1
    assert len(procfs.boot_id()) == 36
    with subprocess.Popen(["sleep", "60"]) as child:
        assert procfs.has_children(me)
        assert not procfs.has_children(child.pid)
        assert procfs.numbers_until(child.pid) > procfs.pid_max() // 2
        child.kill()


def test_a_number_is_a_processs_own_or_one_of_its_threads() -> None:
    assert procfs.process_of(os.getpid()) == os.getpid()
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        assert procfs.process_of(thread.native_id or 0) == os.getpid()
    finally:
        go.set()
        thread.join()
    end = time.monotonic() + 30
    with pytest.raises(ProcessGoneError):
        while time.monotonic() < end:  # Python joins it a moment before the kernel lets it go
            procfs.process_of(thread.native_id or 0)
