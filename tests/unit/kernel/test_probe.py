"""The probe on fake trees: reasons in words, no exception, nothing left behind."""

from pathlib import Path

import pytest

from agentcg.kernel import probe_cgroup, probe_host
from agentcg.kernel.probe import probe


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("root", "proc/self", "sys/kernel/sched_ext/root", "sys/block/vda/queue"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/cgroup.controllers").write_text("cpu pids\n")
    (tmp_path / "root/cgroup.procs").write_text("")
    (tmp_path / "proc/self/mountinfo").write_text(
        f"31 23 0:28 / {tmp_path}/root rw - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/\n7:blkio:/\n0::/\n")
    (tmp_path / "proc/cgroups").write_text("#subsys_name hierarchy num enabled\ncpuset 0 1 0\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nSwapTotal: 8 kB\n")
    (tmp_path / "sys/kernel/sched_ext/state").write_text("enabled\n")
    (tmp_path / "sys/kernel/sched_ext/root/ops").write_text("lavd_1.0\n")
    (tmp_path / "sys/block/vda/queue/scheduler").write_text("[none] mq-deadline bfq\n")
    return tmp_path


def test_reasons(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_host, "DOCKER_SOCKET", host / "docker.sock")
    found = probe(host / "root", proc=host / "proc", sys=host / "sys")
    assert found.has("cgroup2")
    assert found.has("nsdelegate")
    assert not found.has("favordynmods")
    assert found.has("cpu")
    assert found.has("pids")
    assert found.why_not("pids") == ""
    assert "held by cgroup v1" in found.why_not("memory")
    assert "held by cgroup v1" in found.why_not("io")
    assert "command line" in found.why_not("cpuset")
    assert "lavd" in found.why_not("cpu.max")
    assert "lavd" in found.why_not("sched_ext")
    assert found.has("swap")
    assert "BFQ" in found.why_not("io.weight")
    assert "docker.sock" in found.why_not("dockerd")
    assert not found.has("btf")
    assert "not probed" in found.why_not("teleport")
    assert {p.name for p in (host / "root").iterdir()} == {"cgroup.controllers", "cgroup.procs"}


def test_io_weight_works_with_either(host: Path) -> None:
    def works() -> bool:
        found = probe_host.mechanisms(host / "root", host / "proc", host / "sys")
        return {m.name: m.works for m in found}["io.weight"]

    (host / "root/io.cost.qos").write_text("254:0 enable=0 ctrl=auto\n")
    assert not works()
    (host / "root/io.cost.qos").write_text("254:0 enable=1 ctrl=auto\n")
    assert works()
    (host / "root/io.cost.qos").unlink()
    (host / "sys/block/vda/queue/scheduler").write_text("none mq-deadline [bfq]\n")
    assert works()


def test_our_own_scheduler_is_not_foreign(host: Path) -> None:
    (host / "sys/kernel/sched_ext/root/ops").write_text("agentcg_x86\n")
    assert probe_host.foreign_scheduler(host / "sys") is None
    assert probe(host / "root", proc=host / "proc", sys=host / "sys").has("cpu.max")


def test_no_tree_at_all(tmp_path: Path) -> None:
    found = list(probe_cgroup.mechanisms(tmp_path / "nowhere", tmp_path))
    assert found
    assert not any(mechanism.works for mechanism in found)
    assert all(mechanism.detail for mechanism in found)
