"""GET /metrics in Prometheus' text format, and GET /healthz.

No label names a session or a call: the number of series is bounded by the code.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from agentcg.api.controller import Role
from agentcg.api.deps import ANYONE, TheCaller, TheController, serves
from agentcg.errors import DeniedError
from agentcg.model.call import OPEN, Call, CallState
from agentcg.model.view import HostView

router = APIRouter(tags=["host"])
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, eq=False)
class Snapshot(Collector):
    """One scrape's readings; there are no counters to keep in step. Hashed by identity."""

    host: HostView
    calls: Sequence[Call]

    @override
    def collect(self) -> Iterator[Metric]:
        """Make the metric families."""
        host = self.host
        yield InfoMetricFamily(
            "agentcg",
            "The daemon and the enforcement tier that the host offers.",
            {"version": host.version, "tier": host.tier, "kernel": host.kernel},
        )
        calls = GaugeMetricFamily("agentcg_calls", "Open calls by state.", labels=["state"])
        by_state = Counter(call.state for call in self.calls)
        for state in (one for one in CallState if one in OPEN):
            calls.add_metric([state.value], by_state[state])
        yield calls
        yield GaugeMetricFamily(
            "agentcg_host_memory_bytes", "Memory of the host.", value=host.memory_total
        )
        yield GaugeMetricFamily("agentcg_host_cpus", "CPUs of the host.", value=host.cpus)
        works = GaugeMetricFamily(
            "agentcg_mechanism_works", "1 where the mechanism works here.", labels=["mechanism"]
        )
        for check in host.mechanisms:
            works.add_metric([check.name], int(check.works))
        yield works
        # Not a counter: what is open goes down too.
        figures = GaugeMetricFamily(
            "agentcg_daemon",
            "Open sessions and calls, and failures since the start.",
            labels=["figure"],
        )
        for name, value in host.counters.items():
            figures.add_metric([name], value)
        yield figures


@router.get("/metrics", response_class=PlainTextResponse, openapi_extra=serves(Role.ADMIN))
async def metrics(controller: TheController, caller: TheCaller) -> Response:
    """Answer a scrape; for the administrator alone, as the figures are of all sessions."""
    if caller.role is not Role.ADMIN:
        raise DeniedError("the metrics are about all sessions: scrape the admin socket")
    registry = CollectorRegistry()
    registry.register(Snapshot(await controller.host(caller), await controller.open_calls()))
    return Response(generate_latest(registry), media_type=_MEDIA_TYPE)


@router.get("/healthz", response_class=PlainTextResponse, openapi_extra=serves(*ANYONE))
async def healthz(_: TheCaller) -> str:
    """Answer as long as the daemon can tell who asks."""
    return "ok\n"
