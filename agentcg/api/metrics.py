"""GET /metrics in Prometheus' text format, and GET /healthz.

No label names a call, and of sessions only so many are named as the configuration says: the number
of series is bounded.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
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
from agentcg.model.metered import Metered
from agentcg.model.view import HostView

router = APIRouter(tags=["host"])
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_GAUGES: tuple[tuple[str, str, Callable[[Metered], int | None]], ...] = (
    ("agentcg_session_calls", "Its open calls.", lambda one: one.open_calls),
    ("agentcg_session_memory_bytes", "Memory that it uses.", lambda one: one.memory),
    (
        "agentcg_session_memory_limit_bytes",
        "Its memory limit, where it or what is above it has one.",
        lambda one: one.limit,
    ),
)
# Since the session was opened, or the daemon was started.
_COUNTERS: tuple[tuple[str, str, Callable[[Metered], float]], ...] = (
    ("agentcg_session_cpu_seconds", "CPU time that it used.", lambda one: one.totals.cpu),
    (
        "agentcg_session_cpu_throttled_seconds",
        "Time for which cpu.max held it back.",
        lambda one: one.totals.throttled,
    ),
    (
        "agentcg_session_memory_waiting_seconds",
        "Time in which some of its tasks waited for memory (PSI).",
        lambda one: one.totals.waited,
    ),
    (
        "agentcg_session_oom_kills",
        "Processes of it that the OOM killer took.",
        lambda one: one.totals.oom_kills,
    ),
    ("agentcg_session_calls_declared", "Its calls that were granted.", lambda one: one.declared),
    (
        "agentcg_session_undeclared_commands",
        "Its commands that the observer saw outside calls.",
        lambda one: one.undeclared,
    ),
)


@dataclass(frozen=True, eq=False)
class Snapshot(Collector):
    """One scrape's readings; there are no counters to keep in step. Hashed by identity."""

    host: HostView
    calls: Sequence[Call]
    sessions: Sequence[Metered]

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
        yield from self._of_sessions()

    def _of_sessions(self) -> Iterator[Metric]:
        for name, means, read in _GAUGES:
            gauge = GaugeMetricFamily(name, means, labels=["session"])
            for one in self.sessions:
                if (value := read(one)) is not None:
                    gauge.add_metric([one.session], value)
            yield gauge
        for name, means, count in _COUNTERS:
            counter = CounterMetricFamily(name, means, labels=["session"])
            for one in self.sessions:
                counter.add_metric([one.session], count(one))
            yield counter
        ended = CounterMetricFamily(
            "agentcg_session_calls_ended",
            "Its calls that ended, by cause.",
            labels=["session", "cause"],
        )
        for one in self.sessions:
            for cause, value in one.ended.items():
                ended.add_metric([one.session, cause.value], value)
        yield ended


@router.get("/metrics", response_class=PlainTextResponse, openapi_extra=serves(Role.ADMIN))
async def metrics(controller: TheController, caller: TheCaller) -> Response:
    """Answer a scrape; for the administrator alone, as the figures are of all sessions."""
    if caller.role is not Role.ADMIN:
        raise DeniedError("the metrics are about all sessions: scrape the admin socket")
    registry = CollectorRegistry()
    found = Snapshot(
        await controller.host(caller), await controller.open_calls(), await controller.metered()
    )
    registry.register(found)
    # Of thousands of series this takes longer than others may wait for the event loop.
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=_MEDIA_TYPE)


@router.get("/healthz", response_class=PlainTextResponse, openapi_extra=serves(*ANYONE))
async def healthz(_: TheCaller) -> str:
    """Answer as long as the daemon can tell who asks."""
    return "ok\n"
