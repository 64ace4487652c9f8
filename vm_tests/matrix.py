"""Tests on several kernels, at once where the host has room for a machine each.

A test run in an emulated machine waits a third of its time. Each kernel then has a process of its
own, and its lines begin with the kernel's name.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from vm_tests import host
from vm_tests.kernels import Boot
from vm_tests.suite import Result

Run = Callable[[Boot], Result]


def run(boots: Sequence[Boot], one: Run) -> list[Result]:
    """Return how each kernel's run ended, in their order. `one` has to be picklable."""
    if len(boots) == 1 or not host.bears(len(boots)):
        return [one(boot) for boot in boots]
    sys.stdout.flush()
    # Leaving ends what still runs by SIGTERM, and with it the machines.
    with multiprocessing.get_context("fork").Pool(len(boots)) as pool:
        return pool.map(partial(_named, one), boots, chunksize=1)


def _named(one: Run, boot: Boot) -> Result:
    with _prefixed(f"{boot.name:>4} | "):
        try:
            return one(boot)
        except KeyboardInterrupt:
            return Result(boot, 130, "interrupted")


@contextmanager
def _prefixed(prefix: str) -> Iterator[None]:
    """Begin each line with it that this process prints."""
    reading, writing = os.pipe()
    screens = {number: os.dup(number) for number in (1, 2)}

    def show() -> None:
        with os.fdopen(reading, "rb") as lines, os.fdopen(screens[1], "wb", closefd=False) as out:
            for line in lines:
                out.write(prefix.encode() + line)
                out.flush()

    thread = threading.Thread(target=show)
    thread.start()
    for number in screens:
        os.dup2(writing, number)
    os.close(writing)
    try:
        yield
    finally:
        sys.stdout.flush()
        for number, screen in screens.items():
            os.dup2(screen, number)  # the pipe's last end for writing closes, and the thread ends
        thread.join()
        for screen in screens.values():
            os.close(screen)
