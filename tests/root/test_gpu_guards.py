"""The real daemon holds calls to their leases by each guard, over its own death too."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu import tenants
from tests.gpu.nvml import GIB, Driver, inherited
from tests.gpu.shimmed import SHIM
from tests.root import daemon as daemons
from tests.root import gpu_daemon as fake
from tests.root.bpf import pins_in
from tests.root.daemon import Daemon, until
from tests.root.gpu import KEEPS, MIB, OPEN, device_in

pytestmark = pytest.mark.root

PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
TENANT = str(Path(tenants.__file__).with_name("tenant.py"))
FULL = 75 * GIB  # of the device, so that the reserve alone is left
LONG, SHORT = "10m", "100ms"
WAITS = ("sh", "-c", "read a; echo on; read b")


def by(guard: str, grace: str = LONG) -> pytest.MarkDecorator:
    """Run a test with one guard alone."""
    gpu = {"enabled": True, "reserve": "4GiB", "guards": [guard], "require": guard, "grace": grace}
    return pytest.mark.parametrize("host", [gpu], indirect=True)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    return inherited(tmp_path, monkeypatch)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    with device_in(tmp_path) as path:
        yield path


@pytest.fixture
def host(
    driver: Driver,
    cgroup_root: CgroupDir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Daemon]:
    """A daemon with a session on a host with a GPU."""
    del driver
    furniture = tmp_path / "host"
    furniture.mkdir()
    fake.furnish(furniture)
    tenants.Device(tmp_path, 80 * GIB)
    monkeypatch.setenv("FAKE_CUDA", str(tmp_path / "device"))
    monkeypatch.setenv(fake.HOST, str(furniture))
    root, pool = Path(os.environ["AGENTCG_TEST_ROOT"]), f"{cgroup_root.path.name}/agentcg.slice"
    with ExitStack() as stack:
        stack.enter_context(pins_in(furniture))
        one = daemons.running(root, pool, tmp_path, module=fake.MODULE, gpu=request.param)
        daemon = stack.enter_context(one)
        (guard,) = request.param["guards"]
        reason = daemon.ask("GET", "/v1/gpu").json()["guards"][guard]
        if reason:
            assert guard not in {"nvml", "shim"}, reason
            pytest.skip(reason)  # no BPF, as on some machines
        daemon.open()
        yield daemon


Start = Callable[..., "Call"]


class Call:
    """A tenant that runs in a call with a lease."""

    def __init__(self, host: Daemon, tenant: tenants.Tenant, name: str) -> None:
        self.host = host
        self.tenant = tenant
        self.id = name

    @property
    def lease(self) -> Any:
        (found,) = [one for one in _leases(self.host) if one["call"] == self.id]
        return found

    @property
    def frozen(self) -> bool:
        return "frozen 1" in (self.host.calls / self.id / "cgroup.events").read_text()

    def change(self, memory: str) -> int:
        path = f"/v1/gpu/leases/{self.lease['id']}"
        return int(self.host.ask("PATCH", path, {"memory": memory}).status_code)

    def thaw(self) -> int:
        return int(self.host.ask("POST", f"/v1/calls/{self.id}/thaw").status_code)

    def outcome(self) -> Any:
        until(lambda: self.host.call(self.id)["outcome"], "its end")
        return self.host.call(self.id)["outcome"]


@pytest.fixture
def start(host: Daemon) -> Iterator[Start]:
    """Start words in a call with options; all are killed."""
    with ExitStack() as stack:

        def one(*options: str, words: Sequence[str] = WAITS) -> Call:
            known = {each["id"] for each in host.history()}
            process = host.acg(*options, "--", *words, **PIPES)
            tenant = stack.enter_context(tenants.Tenant(process))
            until(lambda: len(host.history()) > len(known), "its call")
            (name,) = {each["id"] for each in host.history()} - known
            until(lambda: host.call(name)["grant"]["env"], "its lease")
            return Call(host, tenant, name)

        yield one


def _leases(host: Daemon) -> list[Any]:
    leases: list[Any] = host.ask("GET", "/v1/gpu").json()["leases"]
    return leases


def _opens(host: Daemon, device: Path, *options: str) -> bool:
    words = (sys.executable, "-c", OPEN, str(device))
    run = host.acg(*options, "--", *words, stderr=subprocess.PIPE)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 0 or "PermissionError: [Errno 1]" in said, said
    return run.returncode == 0


def _tenant(host: Daemon) -> tuple[str, ...]:
    return sys.executable, TENANT, "path", str(host.scratch / "host" / fake.CUDA)


def _again(host: Daemon, number: signal.Signals = signal.SIGKILL) -> None:
    host.stop(number)
    host.start()


@by("nvml")
def test_who_is_seen_over_its_lease_is_stopped_until_it_has_a_larger_one(
    host: Daemon, driver: Driver, start: Start
) -> None:
    call = start("--gpu=2GiB")
    pid = host.call(call.id)["pid"]
    driver.one(f"compute {pid} {GIB}")
    until(lambda: call.lease["used"] == GIB, "its use to be seen")
    assert (call.lease["state"], call.lease["guard"], call.frozen) == ("active", "nvml", False)
    driver.one(f"compute {pid} {3 * GIB}")
    until(lambda: call.frozen, "it to be stopped")
    until(lambda: call.thaw() == 409, "nobody else to let it go on")
    _again(host)
    until(lambda: call.frozen, "it to be stopped by the next daemon")
    assert call.change("4GiB") == 200
    until(lambda: not call.frozen, "it to go on")
    assert call.tenant.does("a") == "on"
    driver.one(f"compute {pid} {5 * GIB}")
    until(lambda: call.frozen, "it to be stopped")
    host.stop(signal.SIGKILL)
    host.config["gpu"] = {"enabled": False}
    host.start()
    until(lambda: not call.frozen, "a daemon without leases to let it go on")
    call.tenant.process.communicate("b\n", timeout=30)
    assert call.outcome()["cause"] == "exited"


@by("nvml", SHORT)
def test_who_stays_over_its_lease_is_killed_and_told(
    host: Daemon, driver: Driver, start: Start
) -> None:
    call = start("--gpu=2GiB")
    driver.one(f"compute {host.call(call.id)['pid']} {3 * GIB}")
    outcome = call.outcome()
    assert (outcome["cause"], call.tenant.process.wait(30)) == ("gpu", -signal.SIGKILL)
    assert "beyond the 2 GiB that it was granted while it used 3 GiB" in outcome["advice"]


@by("shim")
def test_a_program_that_loads_the_shim_is_refused_what_is_over_its_lease(
    host: Daemon, start: Start, tmp_path: Path
) -> None:
    folder = daemons.RUN / "agent/gpu"
    words = ("env", f"LD_LIBRARY_PATH={SHIM}", sys.executable, TENANT, "dlsym", "")
    call = start("--gpu=1GiB", words=words)
    grant = host.call(call.id)["grant"]
    assert grant["env"]["AGENTCG_GPU_LEASE"] == str(folder / call.id)
    assert "in programs that load it" in grant["enforced"]["gpu"]
    assert call.lease["guard"] == "shim"
    # 512 MiB are charged for the context.
    assert call.tenant.does("total") == str(GIB)
    assert call.tenant.does(f"take cuMemAlloc_v2 {513 * MIB}") == "error 2"
    assert call.tenant.does(f"take cuMemAlloc_v2 {512 * MIB}").isdigit()
    assert call.change("2GiB") == 200
    assert call.tenant.does(f"take cuMemAlloc_v2 {513 * MIB}").isdigit()
    _again(host)
    assert call.tenant.does(f"take cuMemAlloc_v2 {512 * MIB}") == "error 2"
    assert call.change("3GiB") == 200
    assert call.tenant.does(f"take cuMemAlloc_v2 {512 * MIB}").isdigit()
    call.tenant.process.communicate(timeout=30)
    assert call.outcome()["exit_code"] == 0
    until(lambda: not (folder / call.id).exists(), "what it was told to be removed")
    shared = Path("/dev/shm")
    assert not list(shared.glob(f"agentcg-gpu-{call.id}-*"))


@by("device")
def test_without_a_lease_no_device_is_opened(host: Daemon, start: Start, device: Path) -> None:
    call = start("--gpu=1GiB", words=(sys.executable, "-c", KEEPS, str(device)))
    assert call.tenant.answer() == "open"
    assert call.lease["guard"] == "device"
    assert not _opens(host, device)
    host.stop(signal.SIGKILL)
    assert not _opens(host, device)  # nobody leases, and the gate holds
    host.start()
    assert not _opens(host, device)
    assert _opens(host, device, "--gpu=1GiB")
    call.tenant.process.communicate("\n", timeout=30)
    assert call.outcome()["exit_code"] == 0
    host.stop(signal.SIGKILL)
    host.config["gpu"] = {"enabled": False}
    host.start()
    assert _opens(host, device)


PART = ("--gpu=512MiB", "--gpu-min=256MiB", "--gpu-wait=10m")


@by("uprobe")
def test_who_asks_for_more_than_its_lease_waits_until_there_is_room(
    host: Daemon, driver: Driver, start: Start
) -> None:
    driver.one(used=FULL - 512 * MIB)
    other = start("--gpu=256MiB")
    call = start(*PART, words=("sh", "-c", '"$@"; exit $?', "sh", *_tenant(host)))
    lease = call.lease
    assert (lease["guard"], lease["bytes"]) == ("uprobe", 256 * MIB)
    assert call.tenant.does(f"take cuMemAlloc_v2 {256 * MIB}").isdigit()
    driver.one(f"compute {host.call(call.id)['pid']} {256 * MIB}", used=FULL - 256 * MIB)
    call.tenant.ask(f"take cuMemAlloc_v2 {128 * MIB}")
    until(lambda: call.frozen, "it to wait")
    until(lambda: call.thaw() == 409, "nobody else to let it go on")
    other.tenant.process.communicate("\n\n", timeout=30)  # and so its lease is over
    assert call.tenant.answer().isdigit()
    assert (call.lease["bytes"], call.lease["used"], call.frozen) == (512 * MIB, 256 * MIB, False)
    _again(host)
    call.tenant.ask(f"take cuMemAlloc_v2 {512 * MIB}")
    outcome = call.outcome()
    assert (outcome["cause"], outcome["exit_code"]) == ("gpu", 128 + signal.SIGKILL)
    assert "beyond the 512 MiB that it was granted" in outcome["advice"]


@by("uprobe")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_waits_for_a_daemon_that_ends_is_killed_and_told(
    host: Daemon, driver: Driver, start: Start, number: signal.Signals
) -> None:
    other = start("--gpu=256MiB", words=_tenant(host))
    driver.one(used=FULL - 512 * MIB)
    call = start(*PART, words=_tenant(host))
    call.tenant.ask(f"take cuMemAlloc_v2 {512 * MIB}")
    until(lambda: call.thaw() == 409, "it to wait")
    _again(host, number)
    outcome = call.outcome()
    assert (outcome["cause"], call.tenant.process.wait(30)) == ("gpu", -signal.SIGKILL)
    assert not other.frozen
    assert other.tenant.does(f"take cuMemAlloc_v2 {256 * MIB}").isdigit()
    other.tenant.ask(f"take cuMemAlloc_v2 {256 * MIB}")
    assert other.outcome()["cause"] == "gpu"
