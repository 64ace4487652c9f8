"""Benchmarks on a kernel of the matrix: make bench-calls VM=1, bench-kernel and its like."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from tests.bench.kernel import overhead as overheads
from tests.bench.kernel import reaction as reactions
from vm_tests import qemu, steps, suite
from vm_tests.app import REPO
from vm_tests.errors import HarnessError
from vm_tests.kernels import Boot
from vm_tests.vm import Sink, Vm

RESULTS = REPO / "build/bench"

# Variables of the benches.
_SIZES = ["RUNS", "ROUNDS", "DOCKER", "WAKES", "SECONDS", "CALLS", "WARM", "HOT"]
_SECONDS = 6 * 60 * 60
_TRACES = "/root/traces"
_POOL = 640  # MiB


def calls(boot: Boot, disks: qemu.Disks) -> int:
    """Show what a call costs under the installed daemon; COUNTED=1: in instructions."""
    return _figures(boot, disks, 2 if os.environ.get("COUNTED") else 0, "vm_tests.guest.bench")


def kernel(boot: Boot, disks: qemu.Disks) -> int:
    """Let the arms of `make bench-kernel` compete, as far as RESULTS has not got their rows yet."""
    rows = RESULTS / f"kernel-{boot.name}.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    rows.touch()
    done = [json.loads(line) for line in rows.read_text(encoding="ascii").splitlines()]
    order = {
        "runs": int(os.environ.get("RUNS", "20")),
        "pool": _POOL,
        "speed": 1,
        "traces": _TRACES,
        "done": [(row["seed"], row["arm"]) for row in done],
    }
    traces = Path(os.environ.get("TRACES", REPO / "tests/bench/kernel/traces"))
    with Vm.boot(boot, disks) as vm:
        suite.prepare(vm)
        suite.put_tests(vm)
        vm.put(_archive(traces), _TRACES)
        with steps.step("bench", f"Competing on {boot.release}"), rows.open("ab") as file:
            sink = _Lines(file, _short)
            return _measure(vm, "tests.bench.kernel", [sink.take], order=order)


def overhead(boot: Boot, disks: qemu.Disks) -> int:
    """Count what instructions the governor costs, or (WALL=1) what time: `make bench-overhead`."""
    order = {"runs": int(os.environ.get("RUNS", "5")), "rounds": 21}
    counted = 0 if os.environ.get("WALL") else 1
    return _tabled("overhead", boot, disks, order, overheads.table, counted=counted)


def reaction(boot: Boot, disks: qemu.Disks) -> int:
    """Let memory grow past an end: `make bench-reaction`."""
    runs, seconds = (int(os.environ.get(*one)) for one in (("RUNS", "10"), ("SECONDS", "10")))
    order = {"runs": runs, "seconds": seconds}
    return _tabled("reaction", boot, disks, order, reactions.table)


def _tabled(
    name: str,
    boot: Boot,
    disks: qemu.Disks,
    order: object,
    table: Callable[[list[Any]], str],
    *,
    counted: int = 0,
) -> int:
    """Run a bench whose rows are shown as they come and as one table in the end."""
    rows = RESULTS / f"{name}-{boot.name}.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    with Vm.boot(boot, disks, counted=counted) as vm:
        suite.prepare(vm)
        suite.put_tests(vm)
        with steps.step("bench", f"Measuring on {boot.release}"), rows.open("wb") as file:
            sink = _Lines(file, lambda row: f"{row}\n")
            status = _measure(vm, f"tests.bench.kernel.{name}", [sink.take], order=order)
    if not status:
        found = [json.loads(line) for line in rows.read_text(encoding="ascii").splitlines()]
        print(table(found))
    return status


def cpu(boot: Boot, disks: qemu.Disks) -> int:
    """Show who gets how much CPU time, and how soon: `make bench-cpu`."""
    return _figures(boot, disks, 2, "vm_tests.guest.bench_cpu")


def telemetry(boot: Boot, disks: qemu.Disks) -> int:
    """Count what a sample costs and whether recording delays calls: `make bench-telemetry VM=1`."""
    return _figures(boot, disks, 2, "tests.bench.telemetry", "vm_tests.guest.bench_recording")


def _figures(boot: Boot, disks: qemu.Disks, counted: int, *modules: str) -> int:
    """Run benches that print their figures; on so many CPUs that count instructions as time."""
    env = {name: os.environ[name] for name in _SIZES if name in os.environ}
    with Vm.boot(boot, disks, counted=counted) as vm:
        suite.prepare(vm)
        suite.put_tests(vm)
        with steps.step("bench", f"Measuring on {boot.release}") as log, log.open("wb") as file:
            sinks: list[Sink] = [_show, file.write]
            return max(_measure(vm, module, sinks, env=env) for module in modules)


class _Lines:
    """Keeps whole lines only: the last one of a broken run would spoil the file."""

    def __init__(self, file: IO[bytes], say: Callable[[Mapping[str, Any]], str]) -> None:
        self._file = file
        self._say = say
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._file.write(line + b"\n")
            self._file.flush()
            _show(self._say(json.loads(line)).encode())


def _short(row: Mapping[str, Any]) -> str:
    """A row for the person who watches."""
    states = " ".join(f"{t['name']}: {t['state']} {t['seconds']:.0f} s" for t in row["tenants"])
    return f"{row['seed']:3} {row['arm']:16} {states}\n"


def _measure(
    vm: Vm,
    module: str,
    sinks: list[Sink],
    *,
    env: Mapping[str, str] | None = None,
    order: object = None,
) -> int:
    def spread(chunk: bytes) -> None:
        for sink in sinks:
            sink(chunk)

    try:
        return vm.run(
            [suite.PYTHON, "-m", module],
            stream=spread,
            errors=_show,
            stdin=b"" if order is None else json.dumps(order).encode(),
            env=env,
            cwd=suite.TESTS,
            timeout=_SECONDS,
        )
    except TimeoutError as error:
        raise HarnessError(f"no end of the measuring in {_SECONDS} s") from error


def _show(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _archive(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, ".")
    return out.getvalue()
