"""The kernels that agentcg is tested on, and how they come from the archive into the cache.

Keep MATRIX in step with the support table in the documentation.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vm_tests import cache, steps
from vm_tests.apt import Apt
from vm_tests.errors import HarnessError


@dataclass(frozen=True)
class Kernel:
    """One row of the matrix: exact, so that a red test means our change and not the archive's."""

    name: str
    release: str
    suite: str
    series: str
    why: str


@dataclass(frozen=True)
class Boot:
    """A kernel in the cache."""

    name: str
    release: str
    folder: Path
    substituted: bool

    @property
    def image(self) -> Path:
        """The bootable file."""
        return self.folder / "vmlinuz"

    @property
    def modules(self) -> Path:
        """The folder that belongs into /usr/lib/modules."""
        return self.folder / "modules" / self.release


MATRIX = (
    Kernel("7.2", "7.2.12+deb14-cloud-amd64", "testing", r"\d+\.\d+\.\d+\+deb14", "T1: sched_ext"),
    Kernel("6.12", "6.12.107+deb13-cloud-amd64", "trixie", r"6\.12\.\d+\+deb13", "T0: Debian 13"),
)
NEWEST = Kernel("newest", "", "testing", MATRIX[0].series, "whatever the archive has now")


def select(choice: str) -> list[Kernel]:
    """Return the kernels that a person's choice means."""
    known = {kernel.name: kernel for kernel in (*MATRIX, NEWEST)}
    if choice == "all":
        return list(MATRIX)
    if choice not in known:
        raise HarnessError(f"no kernel {choice!r}: choose one of all, {', '.join(known)}")
    return [known[choice]]


def fetch(wanted: Kernel) -> Boot:
    """Return the kernel from the cache or the archive, or the newest of its series instead."""
    if wanted.release and cache.has("kernel", wanted.release):
        return _boot(wanted, wanted.release)
    with steps.step(f"kernel-{wanted.name}", f"Fetching kernel {wanted.name}") as log:
        apt = Apt(wanted.suite, log)
        release = _available(apt, wanted)
        cache.entry("kernel", release, lambda folder: _unpack(apt, release, folder))
    if wanted.release and release != wanted.release:
        steps.say(
            f"warning: the archive no longer has {wanted.release}; {release} takes its place, and"
            " failures on it alone count as kernel drift"
        )
    return _boot(wanted, release)


def _boot(wanted: Kernel, release: str) -> Boot:
    substituted = bool(wanted.release) and release != wanted.release
    return Boot(wanted.name, release, cache.root() / f"kernel-{release}", substituted)


def _available(apt: Apt, wanted: Kernel) -> str:
    prefix = "linux-image-"
    pattern = re.compile(rf"{prefix}({wanted.series}(?:\.\d+)?-cloud-amd64)")
    found = {m[1] for name in apt.names(prefix) if (m := pattern.fullmatch(name))}
    if wanted.release in found:
        return wanted.release
    if not found:
        raise HarnessError(f"suite {wanted.suite} has no kernel like {wanted.series}")
    return max(found, key=lambda release: [int(n) for n in re.findall(r"\d+", release)])


def _unpack(apt: Apt, release: str, folder: Path) -> None:
    unpacked = folder / "unpacked"
    # Debian split the image package after 6.12: kernel and modules are packages of their own.
    parts = {f"linux-{part}-{release}" for part in ("image", "binary", "modules")}
    for package in sorted(parts & set(apt.names("linux-"))):
        apt.unpack(package, unpacked)
    modules = next(unpacked.glob(f"usr/lib/modules/{release}"), None)
    image = next(
        iter([*unpacked.glob("usr/lib/modules/*/vmlinuz"), *unpacked.glob("boot/vmlinuz*")]), None
    )
    if modules is None or image is None:
        raise HarnessError(f"the packages of kernel {release} have another layout than known")
    shutil.copy(image, folder / "vmlinuz")
    (folder / "modules").mkdir()
    modules.rename(folder / "modules" / release)
    shutil.rmtree(unpacked)


def chosen(default: str = "all") -> str:
    """Return the choice of the environment (`make vm-test KERNEL=newest`)."""
    return os.environ.get("KERNEL") or default
