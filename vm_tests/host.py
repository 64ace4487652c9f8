"""Checks the host before anything slow begins; installs tools, says what else is missing."""

import os
import shutil
import subprocess
from pathlib import Path

from vm_tests import cache, qemu
from vm_tests.app import REPO
from vm_tests.errors import HarnessError

_DISK_GIB = 6
_HEADROOM_MIB = 512

# Command and the Debian package that has it.
_TOOLS = {
    "apt-get": "apt",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "setpriv": "util-linux",
    "systemctl": "systemd",
    "dpkg-deb": "dpkg",
}


def check() -> None:
    """Install missing tools; HarnessError names what else is lacking, and the remedy."""
    if os.geteuid() != 0:
        raise HarnessError("the VM's disks are made as root: run this as root (sudo -E)")
    # The shells of some users lack the system folders, where mkfs is.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if missing := _missing():
        # Its words, also those of a failure, are for who sits there.
        subprocess.run([REPO / "tools/need", *missing], check=False)
    if missing := _missing():
        raise HarnessError(f"missing tools: apt-get install {' '.join(missing)}")
    free = shutil.disk_usage(cache.root()).free / 2**30
    if free < _DISK_GIB:
        raise HarnessError(
            f"{cache.root()} has {free:.1f} GiB free, {_DISK_GIB} GiB are needed: make room, or set"
            " AGENTCG_CACHE to a folder on a larger disk"
        )


def _missing() -> list[str]:
    return sorted(package for tool, package in _TOOLS.items() if not shutil.which(tool))


def check_memory() -> None:
    """Raise HarnessError if the machine would not fit into memory."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    available = int(fields["MemAvailable"].split()[0]) // 1024
    needed = qemu.MEMORY_MIB + _HEADROOM_MIB
    if available < needed:
        raise HarnessError(
            f"{available} MiB of memory are available, the VM needs {needed} MiB: end something"
        )
