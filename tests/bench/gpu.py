"""What leases of GPU memory cost: `make bench-gpu`.

The planner, with a crowd that waits; a lease asked for and given back over the API, with a driver
that only tells; and the probes on libcuda: pairs of an allocation and its release, in the fake
library, which keeps a table, with no probe, with probes and no lease (any other program on the
host), and with a lease, in turn; and so with the shim.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from agentcg.client import Client
from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import LeaseId, LeaseState, Shrink
from agentcg.policy.lease_plan import Ask, Wait
from agentcg.policy.lease_queue import plan
from agentcg.policy.ledger import GIB, Allowance, Claim, Ledger, Rules
from tests.bench.figures import figure, ratio
from tests.gpu.nvml import LIBRARY as NVML
from tests.gpu.nvml import STATE, Driver
from tests.gpu.shimmed import leased
from tests.gpu.tenants import LIBRARY, Device, Tenant
from tests.root.daemon import RUN, running
from tests.root.gpu import MIB, lease

PAIRS = 2000  # of a round
ROUNDS = int(os.environ.get("RUNS", "20"))
LEASES = 25 * ROUNDS
CROWD = 64  # that wait, and as many leases


def main() -> None:
    """Run all and print the figures."""
    root = Path(os.environ["AGENTCG_TEST_ROOT"])
    with tempfile.TemporaryDirectory() as scratch:
        _planner()
        _api(root, Path(scratch))
        _probes(root, Path(scratch))
        _shim(Path(scratch))


def _planner() -> None:
    # Nobody finds room, and nothing is done for one that the others would only wait for.
    rules = Rules(floor=4 * GIB, engine_priority=10)
    for many in (1, CROWD):
        leases = [LeaseId(f"g-{n}") for n in range(many)]
        claims = tuple(Claim(one, GIB // 4, GIB // 4) for one in leases)
        engine = Allowance(38 * GIB, 37 * GIB, 38 * GIB, 38 * GIB, Shrink.BYTES, running=3)
        ledger = Ledger("GPU-0", 160 * GIB, 6 * GIB, rules, claims, engine)
        asks = [Ask(one, 8 * GIB, 4 * GIB, n % 9, 99.0, 1e9, 1e9) for n, one in enumerate(leases)]
        rates = []
        steps = plan(asks, {"GPU-0": ledger}, (), 100.0, rules)
        assert all(isinstance(one.step, Wait) and one.gpu for one in steps)
        for _ in range(ROUNDS):
            turns, begun = 2000 // many, time.perf_counter()
            for _ in range(turns):
                plan(asks, {"GPU-0": ledger}, (), 100.0, rules)
            rates.append(turns * many / (time.perf_counter() - begun))
        figure(f"decisions of the planner, {many} waiting", rates, "1/s")


def _api(root: Path, scratch: Path) -> None:
    driver = Driver(scratch / "nvml")
    driver.one("limits")
    os.environ |= {"LD_LIBRARY_PATH": str(NVML.parent), STATE: str(driver.file)}
    gpu = {"enabled": True, "reserve": "4GiB", "require": "driver"}
    took: dict[str, list[float]] = {"asked for and granted": [], "given back": []}
    with (
        running(root, "bench/agentcg.slice", scratch, gpu=gpu) as daemon,
        Client(RUN / "admin.sock") as client,
    ):
        daemon.open("one")
        for _ in range(LEASES):
            # One each: a call that has given a lease back is asked to wait until that is seen.
            call = client.declare({"tool": "torch"}, "one").call.id
            begun = time.perf_counter()
            made = client.ask_lease({"call": call, "memory": "256MiB", "wait": "10s"})
            took["asked for and granted"].append((time.perf_counter() - begun) * 1e3)
            if made.state is not LeaseState.GRANTED:
                sys.exit(f"{made.id} is {made.state}: {made.reason}")
            begun = time.perf_counter()
            client.release_lease(made.id)
            took["given back"].append((time.perf_counter() - begun) * 1e3)
            client.close(call)
    for name, values in took.items():
        figure(f"a lease {name}, over the API", values)


def _probes(root: Path, scratch: Path) -> None:
    took: dict[str, list[float]] = {"no probe": [], "probes, no lease": [], "a lease": []}
    with CgroupDir.open(root) as top:
        device = Device(scratch, 1000 * MIB)
        with top.make("bench-gpu") as leaf:
            reason = UprobeGuard([LIBRARY], timeout=60).probe()
            if reason is not None:
                sys.exit(f"no probes here: {reason}")
            with device.tenant(leaf) as tenant:
                for _ in range(ROUNDS):
                    _round(tenant, leaf, took)
        top.remove_child("bench-gpu")
    for name, values in took.items():
        figure(f"an allocation and its release, {name}", values, "us")
    for name in ("probes, no lease", "a lease"):
        ratio(f"{name} to no probe", took[name], took["no probe"])


def _round(tenant: Tenant, leaf: CgroupDir, took: dict[str, list[float]]) -> None:
    took["no probe"].append(_pair(tenant))
    guard = UprobeGuard([LIBRARY], timeout=60)
    guard.start()
    took["probes, no lease"].append(_pair(tenant))
    guard.hold(lease(100 * MIB), leaf)
    took["a lease"].append(_pair(tenant))
    guard.close()


def _shim(scratch: Path) -> None:
    took: dict[str, list[float]] = {"no shim": [], "the shim, no lease": [], "the shim": []}
    envs: tuple[dict[str, str], ...] = (
        {"LD_LIBRARY_PATH": str(LIBRARY.parent)},
        {"AGENTCG_GPU_LEASE": ""},
        {},
    )
    with leased(scratch, 100 * MIB) as one:
        tenants = [one.tenant(**env) for env in envs]
        for _ in range(ROUNDS):
            for values, tenant in zip(took.values(), tenants, strict=True):
                values.append(_pair(tenant))
    for name, values in took.items():
        figure(f"an allocation and its release, {name}", values, "us")


def _pair(tenant: Tenant) -> float:
    return float(tenant.does(f"pairs {PAIRS} {MIB}")) / PAIRS / 1e3


if __name__ == "__main__":
    main()
