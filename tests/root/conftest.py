"""A cgroup of its own for each test, on a real private cgroup2 mount named by AGENTCG_TEST_ROOT."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.bpffs import Pins
from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu.fixtures import driver as driver
from tests.gpu.fixtures import nvml as nvml
from tests.root import daemon as daemons
from tests.root.bpf import opened, pins_in
from tests.root.engine import Host
from tests.unit.sandbox.dockerd import running

Spawn = Callable[..., int]


@pytest.fixture
def cgroup_root() -> Iterator[CgroupDir]:
    """A new empty cgroup; what is in it at the end is killed and removed."""
    where = os.environ.get("AGENTCG_TEST_ROOT")
    if not where:
        pytest.skip("AGENTCG_TEST_ROOT is unset: run `make test`, or name a private cgroup2 mount")
    name = f"test-{uuid.uuid4().hex[:12]}"
    with CgroupDir.open(Path(where)) as top:
        cgroup = top.make(name)
        try:
            yield cgroup
        finally:
            cgroup.close()
            _destroy(top, name)


@pytest.fixture
def daemon(
    cgroup_root: CgroupDir, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[daemons.Daemon]:
    """A daemon with an empty bare session "one"; `parametrize` it indirectly with settings."""
    root = Path(os.environ["AGENTCG_TEST_ROOT"])
    config = getattr(request, "param", {})
    pool = f"{cgroup_root.path.name}/agentcg.slice"
    with daemons.running(root, pool, tmp_path, **config) as running:
        running.open()
        yield running


@pytest.fixture
def host(cgroup_root: CgroupDir, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A daemon that follows an engine; `parametrize` it indirectly with settings."""
    root = Path(os.environ["AGENTCG_TEST_ROOT"])
    pool = f"{cgroup_root.path.name}/agentcg.slice"
    config: dict[str, Any] = {"docker": {"enabled": True, "socket": str(tmp_path / "docker.sock")}}
    config |= getattr(request, "param", {})
    with (
        running(tmp_path / "docker.sock") as engine,
        daemons.running(root, pool, tmp_path, **config) as daemon,
    ):
        made = Host(daemon, engine)
        yield made
        for cid in list(made.inits):
            made.die(cid)
        daemons.until(lambda: not daemon.ask("GET", "/v1/sessions").json(), "all sessions to close")


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a program (default: one that sleeps) and return its pid; all are killed and reaped."""
    started: list[int] = []

    def start(*argv: str) -> int:
        command = argv or ("sleep", "60")
        pid = os.posix_spawnp(command[0], command, os.environ)
        started.append(pid)
        return pid

    yield start
    for pid in started:
        # Not yet reaped, so that the number is still the child's; else there is nothing to do.
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.kill(pid, 9)
            os.waitpid(pid, 0)


@pytest.fixture
def sample() -> Iterator[Object]:
    """The loaded object of the loader's tests."""
    with opened() as one:
        one.load()
        yield one


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    """A bpf file system of the test's own."""
    with pins_in(tmp_path) as made:
        yield made


def _destroy(top: CgroupDir, name: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            with top.child(name) as cgroup:
                cgroup.kill()
                for nested in cgroup.children():
                    _destroy(cgroup, nested)
            top.remove_child(name)
        except CgroupGoneError:
            return
        except CgroupError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return
