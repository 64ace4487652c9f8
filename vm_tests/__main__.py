"""Command line: `python -m vm_tests build | test | shell | demo | bench`."""

import argparse
import signal
import sys
import termios
import time
import tty
from collections.abc import Sequence
from pathlib import Path

from vm_tests import app, bench, host, kernels, qemu, sandbox_disk, session, steps, suite
from vm_tests.demo import run as demo
from vm_tests.errors import HarnessError
from vm_tests.kernels import Boot
from vm_tests.vm import Vm

_ONCE = ("-m", "not any_kernel")
_ONE = {"shell", "demo", "bench"}  # these boot one kernel, not the matrix
_WHAT = (
    bench.calls,
    bench.cpu,
    bench.kernel,
    bench.overhead,
    bench.reaction,
    bench.telemetry,
)
_BENCHES = {one.__name__: one for one in _WHAT}


def main() -> int:
    """Parse the command line and run the command."""
    args = _parser().parse_args()
    # A terminated harness cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    try:
        status = _run(args)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    steps.say(f"==> {args.command} took {time.monotonic() - begin:.0f} s ({app.commit()})")
    return status


def _run(args: argparse.Namespace) -> int:
    if args.command == "demo" and args.host:
        return demo.on_host()
    boots, disks = session.build(args.kernel, args.wheel, _sandboxes(args))
    if args.command == "build":
        return 0
    host.check_memory()
    if args.command == "shell":
        return _shell(boots[0], disks)
    if args.command == "demo":
        return demo.in_machine(boots[0], disks, args.pictures)
    if args.command == "bench":
        return _BENCHES[args.what](boots[0], disks)
    pytest_args = [*(["-k", args.k] if args.k else []), *args.pytest_args]
    results = [suite.run(boots[0], disks, pytest_args, coverage=args.coverage, soak=args.soak)]
    for boot in boots[1:]:
        # The first kernel had it all.
        once = () if args.soak or pytest_args else _ONCE
        results.append(
            suite.run(boot, disks, [*pytest_args, *once], coverage=False, soak=args.soak)
        )
    return suite.report(results, strict=args.kernel == "newest")


def _sandboxes(args: argparse.Namespace) -> Sequence[str]:
    if args.command in _ONE:
        return ()
    return sandbox_disk.ALL if getattr(args, "soak", False) else sandbox_disk.FEW


def _shell(boot: Boot, disks: qemu.Disks) -> int:
    """Give the person at this terminal a root shell in a fresh machine."""
    steps.say(f"==> Booting {boot.release}: a root shell follows in about a minute; exit ends it")
    if not sys.stdin.isatty():
        raise HarnessError("shell needs a terminal")
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        with Vm(boot, disks, terminal=True) as vm:
            vm.process.wait()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vm_tests", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, doing in (
        ("build", "make what a boot needs"),
        ("test", "boot each kernel and run the tests in it"),
        ("shell", "boot one kernel and open a root shell"),
        ("demo", "boot one kernel and let three agents replay real traces"),
        ("bench", "boot one kernel and measure in it"),
    ):
        command = commands.add_parser(name, help=doing, description=doing)
        default = kernels.chosen(kernels.MATRIX[0].name if name in _ONE else "all")
        command.add_argument("--kernel", default=default, help=f"a name or all (now {default})")
        command.add_argument("--wheel", type=Path, help="test this wheel instead of building one")
        if name == "demo":
            where = command.add_mutually_exclusive_group()
            where.add_argument("--host", action="store_true", help="run on this host, no VM")
            where.add_argument("--pictures", type=Path, metavar="FOLDER", help="take them there")
        if name == "bench":
            command.add_argument("what", choices=_BENCHES)
        if name == "test":
            command.add_argument("-k", metavar="EXPR", help="as pytest's -k")
            command.add_argument("--coverage", action="store_true", help="measure, in the guest")
            command.add_argument("--soak", action="store_true", help="tests at their full size")
            command.add_argument("pytest_args", nargs="*", help="after --: for pytest")
    return parser


if __name__ == "__main__":
    sys.exit(main())
