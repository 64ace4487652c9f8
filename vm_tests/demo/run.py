"""The host's side: brings the driver to where it runs, and shows what it says."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from agentcg.client import Client
from agentcg.errors import AgentcgError
from vm_tests import qemu, steps, suite
from vm_tests.app import REPO
from vm_tests.demo import camera, closing, show
from vm_tests.errors import HarnessError
from vm_tests.kernels import Boot
from vm_tests.vm import Vm

TOUCHER = REPO / "build/demo/toucher"

_GUEST = "/opt/agentcg-demo"
_PYTHON = "/opt/agentcg/bin/python"
_MODULE = "vm_tests.demo.driver"
_CGROUPS = Path("/sys/fs/cgroup")
_SECONDS = 600
# The machine's owner gives the pool less than its sessions' limits together, and one CPU, so that
# the agents have to compete. On somebody's host that is not ours to decide.
_POOL = ("MemoryMax=544M", "AllowedCPUs=1")
_END_SECONDS = 60


def in_machine(boot: Boot, disks: qemu.Disks, pictures: Path | None) -> int:
    """Boot a machine, install agentcg in it, and run the demo there; pictures go to a folder."""
    _need_toucher()
    begin = time.monotonic()
    with Vm.boot(boot, disks) as vm:
        suite.prepare(vm)
        vm.put(_archive(), _GUEST)
        vm.output(["systemctl", "set-property", "--runtime", "agentcg.slice", *_POOL])
        steps.say("==> Three agents replay (about 2 min; Ctrl-C ends everything)")
        command = [_PYTHON, "-m", _MODULE, "--toucher", f"{_GUEST}/toucher"]
        with _recorder(vm, pictures) as file, show.Display(file) as display:
            try:
                status = vm.run(command, stream=display.feed, cwd=_GUEST, timeout=_SECONDS)
            except TimeoutError as error:
                raise HarnessError(f"the demo did not end in {_SECONDS} s") from error
    return _close(display, status, "make demo", time.monotonic() - begin)


def on_host() -> int:
    """Run the demo under the agentcg daemon of this host."""
    _need_toucher()
    acg = _check_host()
    begin = time.monotonic()
    command = [sys.executable, "-m", _MODULE, "--toucher", str(TOUCHER), "--acg", str(acg)]
    # A session of its own: the terminal's Ctrl-C comes to us, and we end it.
    process = subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout is not None
    try:
        with show.Display() as display:
            while chunk := os.read(process.stdout.fileno(), 65536):
                display.feed(chunk)
        status = process.wait()
    finally:
        _end(process)
    return _close(display, status, "make demo HOST=1", time.monotonic() - begin)


@contextlib.contextmanager
def _recorder(vm: Vm, pictures: Path | None) -> Iterator[IO[bytes] | None]:
    if pictures is None:
        yield None
        return
    with camera.pointed(vm, pictures) as recording, recording.open("wb") as file:
        yield file


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it close its sessions, if it still runs."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _close(display: show.Display, status: int, again: str, seconds: float) -> int:
    if display.failure:
        raise HarnessError(display.failure)
    if display.result is None or status:
        raise HarnessError(f"the demo's driver ended with status {status} and without a result")
    closing.report(display.console, display.result)
    print(
        f"\nRun it again: {again} (this took {seconds:.0f} s from boot to end; what was built is "
        "cached)",
        flush=True,
    )
    return 0 if all(total.alive for total in display.result.totals) else 1


def _need_toucher() -> None:
    if not TOUCHER.exists():
        raise HarnessError(f"{TOUCHER} is missing: start the demo by `make demo`")


def _check_host() -> Path:
    """Return the native client; HarnessError names whatever of the rest is missing."""
    missing = []
    if os.geteuid() != 0:
        missing.append("root (sessions are opened at the administrator's socket)")
    try:
        controllers = (_CGROUPS / "cgroup.controllers").read_text(encoding="ascii").split()
    except FileNotFoundError:
        missing.append(f"cgroup v2 at {_CGROUPS} (boot with systemd.unified_cgroup_hierarchy=1)")
    else:
        if "memory" not in controllers:
            missing.append(f"the memory controller in {_CGROUPS}/cgroup.controllers")
    acg = next((p for p in (Path("/usr/local/bin/acg"), REPO / "build/acg") if p.exists()), None)
    if acg is None:
        missing.append("the native client acg (agentcg install)")
    try:
        with Client() as client:
            client.health()
    except AgentcgError as error:
        missing.append(f"a running agentcg daemon ({error.message})")
    if missing or acg is None:
        raise HarnessError(
            "HOST=1 needs what this host lacks:\n"
            + "".join(f"  - {what}\n" for what in missing)
            + "Without HOST=1 the demo runs in a virtual machine that has it all."
        )
    return acg


def _archive() -> bytes:
    """Pack the driver and what it reads."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("__init__.py", "busybox.py"):
            tar.add(REPO / "vm_tests" / name, f"vm_tests/{name}")
        tar.add(REPO / "vm_tests/demo", "vm_tests/demo", filter=_wanted)
        tar.add(TOUCHER, "toucher")
    return out.getvalue()


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member
