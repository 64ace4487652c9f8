"""The pool under the installed daemon, by tier: every tenant is one call in a session."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from agentcg.client import Client
from agentcg.errors import AgentcgError
from tests.bench.kernel.peers import Home
from tests.bench.kernel.scenario import Scenario, Tenant
from vm_tests.guest.containers import POOL
from vm_tests.guest.sandbox import Sandbox, sandbox, until

_CONFIG = Path("/etc/agentcg/agentcg.yaml")
# The pool is a tenth of a usual one, and so is what may be taken of it at once.
_RULES = "burst: 6MiB, refill: 2MiB"
TIERS = {
    "off": "",
    "T0": f"\ngovernor: {{enabled: true, bpf: false, {_RULES}}}\n",
    "T1": f"\ngovernor: {{enabled: true, {_RULES}}}\n",
}
_PRIORITY = 50


class Switch:
    """Restarts the daemon when a run wants another tier than the last one."""

    def __init__(self) -> None:
        self._plain = _CONFIG.read_text()
        self._now = "off"

    def to(self, tier: str) -> None:
        before, self._now = self._now, tier
        if TIERS[tier] != TIERS[before]:
            _CONFIG.write_text(self._plain + TIERS[tier])
            subprocess.run(["systemctl", "restart", "agentcg.service"], check=True, timeout=180)
            found = until(_tier, "the daemon", 120)
            if (found == "T1") != (tier == "T1"):
                raise AgentcgError(f"the daemon offers {found} where {tier} was asked for")


@contextlib.contextmanager
def sessions(scenario: Scenario) -> Iterator[tuple[Path, dict[str, Home]]]:
    """Give the pool its size and open the sessions."""
    with contextlib.ExitStack() as stack:
        _pool_size(f"{scenario.pool}M")
        stack.callback(_pool_size, "infinity")
        homes: dict[str, Home] = {}
        for tenant in scenario.tenants:
            body = {
                "priority": _PRIORITY if tenant.high else -_PRIORITY,
                "budget": {"guarantee": f"{tenant.needs if tenant.high else 0}MiB"},
            }
            box = stack.enter_context(sandbox(tenant.name, **body))
            homes[tenant.name] = Home(box.path, partial(_start, box, tenant))
        yield POOL, homes


def _start(box: Sandbox, tenant: Tenant, argv: Sequence[str]) -> "subprocess.Popen[str]":
    options = ("--guarantee", f"{tenant.needs}MiB") if tenant.high else ()
    return box.run(*options, "--", *argv, stdin=subprocess.PIPE)


def _pool_size(size: str) -> None:
    words = ["systemctl", "set-property", "--runtime", POOL.name, f"MemoryMax={size}"]
    subprocess.run(words, check=True)


def _tier() -> str:
    try:
        with Client("/run/agentcg/admin.sock") as client:
            return client.host().tier
    except AgentcgError:
        return ""
