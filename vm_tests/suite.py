"""One run of the tests on one kernel: install, pytest in the guest, results back."""

import io
import re
import shutil
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm_tests import qemu, steps
from vm_tests.app import REPO
from vm_tests.errors import LostVMError
from vm_tests.kernels import Boot
from vm_tests.vm import Vm

TESTS = "/root/agentcg"
_RESULTS = "/var/lib/vm-results"
PYTHON = "/opt/agentcg/bin/python"
# These need what this project's CI machines may not have: BPF (trampolines, sched_ext), uprobes.
_ROOT = (
    *("bpf", "bpffs", "gpu_device_gate", "gpu_watchdog"),
    *("gpu_uprobe", "gpu_uprobe_before", "gpu_uprobe_close", "gpu_uprobe_gate", "gpu_uprobe_notes"),
)
_PATHS = ("vm_tests/guest", *(f"tests/root/test_{name}.py" for name in _ROOT))
_BUILT = (
    *("build/bpf-tests", "build/gpu", "build/shim-tests"),
    *("build/demo/toucher", "build/bench/cost", "build/bench/ramp"),
)
_TIMEOUT = 60 * 60
_TEST_TIMEOUT = 300  # one test's, in seconds; pyproject.toml's is for the host
# What fails is run once more and, if it passes then, shown at the end (docs/decisions/0019-*).
_AGAIN = ("-p", "tests.again", "--reruns=1", "--max-suite-reruns=8", "--rerun-show-tracebacks")
_SOAK_FACTOR = 6  # how much longer either may take when tests run at full size


@dataclass(frozen=True)
class Result:
    """How a kernel's run ended."""

    boot: Boot
    status: int
    summary: str

    @property
    def drifted(self) -> bool:
        """A failure that the archive caused, by replacing the kernel under us, and not a change."""
        return self.status != 0 and self.boot.substituted


def run(
    boot: Boot, disks: qemu.Disks, pytest_args: Sequence[str], *, coverage: bool, soak: bool
) -> Result:
    """Boot, test and fetch the results into build/vm/<kernel>/."""
    results = REPO / "build/vm" / boot.name
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    vm = Vm.boot(boot, disks)
    try:
        with vm:
            prepare(vm, coverage=coverage)
            with steps.step(f"tests-{boot.name}", f"Testing on {boot.release}") as log:
                status, summary = _pytest(vm, pytest_args, log, coverage=coverage, soak=soak)
            _fetch(vm, results)
    except LostVMError as error:
        print(error, file=sys.stderr, flush=True)
        return Result(boot, 1, "lost the VM")
    finally:
        shutil.copy(vm.console, results / "console.log")
    return Result(boot, status, summary)


def prepare(vm: Vm, *, coverage: bool = False) -> None:
    """Install agentcg in the booted guest, as its user would."""
    with steps.step("install", "Installing in the guest") as log, log.open("wb") as file:
        vm.output(["mkdir", "-p", f"{_RESULTS}/coverage"])
        if coverage:
            vm.put(_archive({"coverage.conf": _coverage_unit()}), _drop_ins("agentcg.service"))
            vm.output(["systemctl", "daemon-reload"])
        if vm.run(["/usr/local/lib/vm/install.sh"], stream=file.write, timeout=600):
            file.flush()
            journal = vm.output(["journalctl", "--no-pager", "-n", "40", "-u", "agentcg*"])
            raise LostVMError(f"install.sh failed:\n{steps.tail(log)}\n{journal}")


def _drop_ins(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d"


def _coverage_unit() -> bytes:
    settings = "\n".join(f"Environment={name}={value}" for name, value in _coverage_env().items())
    return f"[Service]\n{settings}\nReadWritePaths={_RESULTS}\n".encode()


def _coverage_env() -> dict[str, str]:
    return {"COVERAGE_PROCESS_START": "/usr/local/lib/vm/coverage.toml"}


def _pytest(
    vm: Vm, args: Sequence[str], log: Path, *, coverage: bool, soak: bool
) -> tuple[int, str]:
    put_tests(vm)
    named = any((REPO / arg.split("::", 1)[0]).exists() for arg in args)
    command = [PYTHON, "-m", "pytest", *([] if named else _PATHS)]
    factor = _SOAK_FACTOR if soak else 1
    command += ["-o", f"timeout={factor * _TEST_TIMEOUT}", "-p", "no:cacheprovider"]
    command += ["--durations=10", f"--color={_colour()}"]
    command += [] if soak else _AGAIN
    command += [f"--junitxml={_RESULTS}/junit.xml", *args]

    def show(chunk: bytes) -> None:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        file.write(chunk)

    with log.open("wb") as file:
        env = {"AGENTCG_IN_VM": "1", "AGENTCG_TEST_ROOT": "/sys/fs/cgroup"}
        env |= {"COLUMNS": str(shutil.get_terminal_size().columns)}
        env |= _coverage_env() if coverage else {}
        env |= {"AGENTCG_SOAK": "1"} if soak else {}
        try:
            status = vm.run(command, stream=show, env=env, cwd=TESTS, timeout=factor * _TIMEOUT)
        except TimeoutError as error:
            return 1, str(error)
    # Not simply the last line: warnings of the interpreter's end may follow pytest's summary.
    closing = re.findall(r"(\d+ \w+.* in [\d.]+s\b)", log.read_text(errors="replace"))
    return status, closing[-1] if closing else f"pytest ended with status {status}"


def _colour() -> str:
    return "yes" if sys.stdout.isatty() else "no"


def put_tests(vm: Vm) -> None:
    """Copy the tests and their configuration; not the package, which is tested as installed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("pyproject.toml", "vm_tests", "tests", "sandbox_images", *_BUILT):
            tar.add(REPO / name, name, filter=_wanted)
    vm.put(out.getvalue(), TESTS)


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _fetch(vm: Vm, results: Path) -> None:
    with (
        steps.step("results", f"Fetching the results into {results}"),
        (results / "journal.txt").open("wb") as journal,
    ):
        # The daemon writes its coverage when it ends.
        vm.run(["systemctl", "stop", "agentcg.service"], stream=lambda _: None)
        vm.run(["journalctl", "--no-pager", "-o", "short-precise"], stream=journal.write)
        vm.get(_RESULTS, results)


def report(results: Sequence[Result], *, strict: bool) -> int:
    """Print a closing line per kernel and return the exit status."""
    steps.say("==> Kernels")
    for result in results:
        verdict = "passed" if result.status == 0 else "FAILED"
        if result.drifted and not strict:
            verdict = "kernel drift (not a failure of this change)"
        print(f"    {result.boot.release}: {verdict}: {result.summary}", flush=True)
    failed = [result for result in results if result.status and (strict or not result.drifted)]
    return 1 if failed else 0
