"""Makes the guest's root disk: Debian's packages, the kernels' modules and our few files.

Two stages, so that a changed file of ours costs seconds and not a new Debian: the userland is a
folder made by mmdebstrap, the disk is that folder plus the rest.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from vm_tests import apt, busybox, cache, steps
from vm_tests.kernels import Boot

SUITE = "trixie"
PACKAGES = (
    "busybox-static",
    "dbus",
    "docker-cli",
    "docker.io",
    "iproute2",
    "kmod",
    "libbpf1",
    "procps",
    "python3",
    "python3-venv",
    "systemd-sysv",
    "udev",
)

# Units that only cost start-up time in a machine that lives for one run.
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    # There is no network card: waiting for one to be online takes two minutes.
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-random-seed.service",
)

_HERE = Path(__file__).parent
_GUEST_CODE = ("__init__.py", "agent.py", "wire.py")
_DISK_SIZE = "6G"


def userland_key() -> str:
    """Return the key of the userland, which other artefacts build upon."""
    return cache.key(SUITE, *PACKAGES)


def userland() -> Path:
    """Return the folder that holds a Debian."""
    key = userland_key()
    if not cache.has("userland", key):
        with steps.step("userland", f"Installing Debian {SUITE} into a folder") as log:
            cache.entry("userland", key, lambda folder: _bootstrap(folder, log))
    return cache.entry("userland", key, lambda _: None) / "tree"


def _bootstrap(folder: Path, log: Path) -> None:
    steps.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            "--architectures=amd64",
            f"--keyring={apt.keyring()}",
            f"--include={','.join(PACKAGES)}",
            "--aptopt=APT::Install-Recommends false",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            SUITE,
            folder / "tree",
            apt.source_line(SUITE),
        ],
        log,
    )


def root_disk(boots: Sequence[Boot]) -> Path:
    """Return the root disk that boots each of the kernels."""
    tree = userland()
    ours = ("rootfs", "image.py", "busybox.py", *_GUEST_CODE)
    inputs = [_HERE / name for name in ours]
    key = cache.key(userland_key(), *sorted(boot.release for boot in boots), *inputs)
    if not cache.has("root", key):
        with steps.step("root-disk", "Making the root disk") as log:
            cache.entry("root", key, lambda folder: _make_root(folder, tree, boots, log))
    return cache.entry("root", key, lambda _: None) / "disk"


def _make_root(folder: Path, tree: Path, boots: Sequence[Boot], log: Path) -> None:
    root = folder / "tree"
    steps.run(["cp", "-a", "--reflink=auto", tree, root], log)
    steps.run(["cp", "-r", "--preserve=mode", f"{_HERE / 'rootfs'}/.", root], log)
    code = root / "usr/local/lib/vm/vm_tests"
    code.mkdir(parents=True)
    for name in _GUEST_CODE:
        shutil.copy(_HERE / name, code)
    steps.run(["chroot", root, "python3", "-m", "compileall", "-q", "/usr/local/lib/vm"], log)
    (root / "usr/lib/modules").mkdir(exist_ok=True)
    for boot in boots:
        steps.run(["cp", "-a", boot.modules, root / "usr/lib/modules/"], log)
        steps.run(["chroot", root, "depmod", boot.release], log)
    (root / "opt/agentcg").mkdir(parents=True, exist_ok=True)
    (root / "etc/hostname").write_text("agentcg-vm\n")
    # With a machine id and these stamps systemd skips the chores of a first boot.
    (root / "etc/machine-id").write_text(f"{cache.key(SUITE) * 2}\n")
    (root / "etc/.updated").touch()
    (root / "var/.updated").touch()
    steps.run(["systemctl", f"--root={root}", "enable", "vm-agent.service"], log)
    steps.run(["systemctl", f"--root={root}", "mask", *_MASKED], log)
    image = busybox.archive(root / "usr/bin/busybox")
    (root / "usr/local/lib/vm/busybox.tar").write_bytes(image)
    make_disk(folder / "disk", root, _DISK_SIZE, "agentcg-root", log)
    shutil.rmtree(root)


def make_disk(disk: Path, tree: Path, size: str, label: str, log: Path) -> None:
    """Make a sparse ext4 disk from a folder, without mounting anything."""
    steps.run(
        ["mkfs.ext4", "-q", "-L", label, "-m", "0", "-E", "nodiscard", "-d", tree, disk, size], log
    )
