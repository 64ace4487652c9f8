"""What holds for every test in the machine."""

import os
from collections.abc import Callable, Iterator

import pytest

from agentcg.client import Client
from vm_tests.guest.sandbox import GATE
from vm_tests.guest.test_platform import cgroup_mount_options


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """The administrator."""
    with Client("/run/agentcg/admin.sock") as made:
        yield made


@pytest.fixture
def gate() -> Iterator[Callable[[], object]]:
    """A FIFO at which commands wait; the fixture's value lets them all through."""
    GATE.mkdir(exist_ok=True)
    fifo = GATE / "fifo"
    os.mkfifo(fifo, 0o666)
    yield lambda: fifo.write_text("")
    fifo.unlink()


@pytest.fixture(autouse=True)
def _mount_options_stay() -> Iterator[None]:
    """A careless remount of cgroup2 changes the whole host's rules: nothing may do it."""
    before = cgroup_mount_options()
    yield
    assert cgroup_mount_options() == before
