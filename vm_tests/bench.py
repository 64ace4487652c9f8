"""What a call costs on a kernel of the matrix: `make bench-calls VM=1`."""

import os
import sys

from vm_tests import qemu, steps, suite
from vm_tests.errors import HarnessError
from vm_tests.kernels import Boot
from vm_tests.vm import Vm

_SIZES = ("RUNS", "DOCKER")  # variables of vm_tests/guest/bench.py
_SECONDS = 60 * 60


def in_machine(boot: Boot, disks: qemu.Disks) -> int:
    """Boot a machine, install agentcg in it, and show the figures as they come."""
    with Vm.boot(boot, disks) as vm:
        suite.prepare(vm)
        suite.put_tests(vm)
        with steps.step("bench", f"Measuring on {boot.release}") as log, log.open("wb") as file:

            def show(chunk: bytes) -> None:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                file.write(chunk)

            env = {name: os.environ[name] for name in _SIZES if name in os.environ}
            command = [suite.PYTHON, "-m", "vm_tests.guest.bench"]
            try:
                return vm.run(command, stream=show, env=env, cwd=suite.TESTS, timeout=_SECONDS)
            except TimeoutError as error:
                raise HarnessError(f"no end of the measuring in {_SECONDS} s") from error
