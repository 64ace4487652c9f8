"""The emulator: fetched from Debian into the cache, and its command line.

The host's own QEMU may be missing or too old: before version 10 multi-threaded emulation crashed
guests now and then. Debian's packages are unpacked, not installed, and run by their own dynamic
loader, so that the host's distribution does not matter.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vm_tests import apt, cache, image, steps
from vm_tests.wire import PORT_NAME

MEMORY_MIB = 4096
_CPUS = 2
_KVM_TRIAL_SECONDS = 4
# 5-level page tables cost an emulated machine one more walk step and give it nothing.
_CPU = ("-cpu", "max,la57=off")

_PACKAGE = "qemu-system-x86"
_LIB = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class Disks:
    """What the machine boots from; neither is written to."""

    root: Path
    app: Path
    sandboxes: Path | None = None


def emulator() -> Path:
    """Return the folder with an unpacked QEMU."""
    key = cache.key(image.SUITE, _PACKAGE)
    if not cache.has("qemu", key):
        with steps.step("qemu", "Unpacking QEMU") as log:
            cache.entry("qemu", key, lambda folder: _unpack(folder, log))
    return cache.entry("qemu", key, lambda _: None) / "tree"


def _unpack(folder: Path, log: Path) -> None:
    unpack = ["mmdebstrap", "--mode=root", "--variant=extract", "--architectures=amd64"]
    unpack += [f"--keyring={apt.keyring()}", f"--include={_PACKAGE}"]
    steps.run([*unpack, image.SUITE, folder / "tree", apt.source_line(image.SUITE)], log)


def environment(tree: Path) -> dict[str, str]:
    """Return the environment in which the unpacked QEMU finds its own modules."""
    return {**os.environ, "QEMU_MODULE_DIR": str(tree / _LIB / "qemu")}


def program(tree: Path) -> list[str]:
    """Return the command's beginning: QEMU, which ends when its parent does."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        str(tree / "usr/lib64/ld-linux-x86-64.so.2"),
        *("--library-path", str(tree / _LIB)),
        str(tree / "usr/bin/qemu-system-x86_64"),
        *("-L", str(tree / "usr/share/qemu"), "-L", str(tree / "usr/share/seabios")),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
    ]


def accelerator(tree: Path, kernel: Path, *, counted: int = 0) -> list[str]:
    """Return the options for KVM if it boots a kernel here, else for emulation.

    A /dev/kvm that opens proves little: in nested sandboxes the first instruction may hang.
    `counted`: emulation in which an instruction takes a nanosecond of the guest's time, whichever
    of so many CPUs it is on.
    """
    if counted:
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", *_CPU]
    wanted = os.environ.get("AGENTCG_VM_ACCEL")
    if wanted == "kvm" or (wanted is None and _kvm_works(tree, kernel)):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", *_CPU]


def _kvm_works(tree: Path, kernel: Path) -> bool:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    trial = [*program(tree), "-accel", "kvm", "-cpu", "host", "-m", "512", "-serial", "stdio"]
    trial += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    try:
        # It has no disk: a kernel that runs gets as far as its panic, and QEMU ends.
        ended = subprocess.run(
            trial,
            env=environment(tree),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_KVM_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return b"Linux version" in ended.stdout


def machine(
    disks: Disks, kernel: Path, agent: Path, console: Path, *, counted: int = 0
) -> list[str]:
    """Return the machine's options: CPUs, disks, console and the agent's port."""
    append = [
        "root=/dev/nvme0n1 rw console=ttyS0 loglevel=5 panic=-1 oops=panic psi=1",
        # Emulation runs no untrusted neighbours: mitigations and audit only slow it.
        "mitigations=off audit=0 systemd.show_status=auto",
    ]
    return [
        *("-machine", "q35", "-smp", str(counted or _CPUS), "-m", str(MEMORY_MIB)),
        *("-kernel", str(kernel), "-append", " ".join(append)),
        # snapshot=on: writes go to an unlinked temporary file, every boot starts afresh.
        *("-drive", f"if=none,id=root,format=raw,snapshot=on,file={disks.root}"),
        *("-device", "nvme,serial=root,drive=root"),
        # Another bus than the root's, so that names cannot be swapped by parallel probing.
        *("-drive", f"if=none,id=app,format=raw,snapshot=on,file={disks.app}"),
        *("-device", "virtio-blk-pci,drive=app"),
        *(_sandboxes(disks.sandboxes) if disks.sandboxes else ()),
        *("-serial", f"file:{console}"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=agent,path={agent}"),
        *("-device", f"virtserialport,chardev=agent,name={PORT_NAME}"),
    ]


def _sandboxes(disk: Path) -> list[str]:
    drive = f"if=none,id=sandboxes,format=raw,snapshot=on,file={disk}"
    return ["-drive", drive, "-device", "virtio-blk-pci,drive=sandboxes"]


def terminal() -> list[str]:
    """Return the options that give the guest this terminal as hvc0, where a root shell waits."""
    return ["-chardev", "stdio,id=tty,signal=off", "-device", "virtconsole,chardev=tty"]
