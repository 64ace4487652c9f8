"""A booted machine with agentcg in it, for whoever wants to run something there.

with session.machine("7.2") as vm:
    vm.run(["agentcg", "doctor"], stream=sys.stdout.buffer.write)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vm_tests import app, host, image, kernels, qemu, sandbox_disk, suite
from vm_tests.kernels import Boot
from vm_tests.vm import Vm


@contextmanager
def machine(kernel: str = kernels.MATRIX[0].name, *, wheel: Path | None = None) -> Iterator[Vm]:
    """Build what is missing, boot, install agentcg, and end the machine afterwards."""
    boots, disks = build(kernel, wheel)
    host.check_memory()
    with Vm.boot(boots[0], disks) as vm:
        suite.prepare(vm)
        yield vm


def build(
    choice: str, wheel: Path | None, sandboxes: Sequence[str] = ()
) -> tuple[list[Boot], qemu.Disks]:
    """Make everything that a boot needs and that is not in the cache yet.

    `sandboxes`: the images that are to be built in the machine.
    """
    host.check()
    qemu.emulator()
    boots = [kernels.fetch(kernel) for kernel in kernels.select(choice)]
    # One root disk serves the whole matrix; a chosen part of it must not make another.
    matrix = [kernels.fetch(kernel) for kernel in kernels.MATRIX]
    extra = [boot for boot in boots if boot.release not in {known.release for known in matrix}]
    root = image.root_disk([*matrix, *extra])
    images = sandbox_disk.sandbox_disk(sandboxes) if sandboxes else None
    return boots, qemu.Disks(root, app.app_disk(wheel or app.build_wheel()), images)
