"""What the probes on libcuda cost a program: `make bench-gpu`.

Pairs of an allocation and its release, in the fake library, which only counts: with no probe,
with probes and no lease (any other program on the host), and with a lease, in turn.
"""

import os
import sys
import tempfile
from pathlib import Path

from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.cgroupfs import CgroupDir
from tests.bench.figures import figure, ratio
from tests.gpu.tenants import LIBRARY, Device, Tenant
from tests.root.gpu import MIB, lease

PAIRS = 2000  # of a round
ROUNDS = int(os.environ.get("RUNS", "20"))


def main() -> None:
    """Run all and print the figures."""
    took: dict[str, list[float]] = {"no probe": [], "probes, no lease": [], "a lease": []}
    with (
        tempfile.TemporaryDirectory() as scratch,
        CgroupDir.open(Path(os.environ["AGENTCG_TEST_ROOT"])) as top,
    ):
        device = Device(Path(scratch), 1000 * MIB)
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


def _pair(tenant: Tenant) -> float:
    return float(tenant.does(f"pairs {PAIRS} {MIB}")) / PAIRS / 1e3


if __name__ == "__main__":
    main()
