"""The machine itself: what every other test here takes for granted."""

import os
import subprocess
from pathlib import Path

import pytest

CGROUP = Path("/sys/fs/cgroup")
IMAGE = "agentcg-test/busybox"


def docker(*args: str) -> str:
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True).stdout


def cgroup_mount_options() -> str:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4] == str(CGROUP):
            return line.split(" - ", 1)[1]
    raise AssertionError("no cgroup mount")


@pytest.mark.vm
def test_controllers() -> None:
    controllers = set((CGROUP / "cgroup.controllers").read_text().split())
    assert controllers >= {"cpu", "cpuset", "io", "memory", "pids"}


@pytest.mark.vm
def test_pressure_is_measured() -> None:
    assert (CGROUP / "system.slice/memory.pressure").read_text().startswith("some avg10=")


@pytest.mark.vm
def test_no_swap() -> None:
    assert len(Path("/proc/swaps").read_text().splitlines()) == 1


@pytest.mark.vm
def test_kernel_types() -> None:
    assert os.access("/sys/kernel/btf/vmlinux", os.R_OK)


@pytest.mark.vm
def test_containers_run_without_network() -> None:
    assert docker("info", "--format", "{{.Driver}} {{.CgroupDriver}}") == "overlay2 systemd\n"
    assert docker("run", "--rm", "--network", "none", IMAGE, "/bin/cat", "/etc/passwd")


@pytest.mark.vm
def test_exec_in_a_container() -> None:
    container = docker("run", "-d", "--network", "none", IMAGE, "/bin/sleep", "600").strip()
    try:
        assert docker("exec", container, "/bin/id", "-u") == "0\n"
    finally:
        docker("rm", "-f", container)
