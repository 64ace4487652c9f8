"""What leaves a real daemon: metrics of sessions, exports of what is closed, spans."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.root.daemon import RUN, Daemon, until
from tests.unit.cli.collector import Collector, collecting

pytestmark = pytest.mark.root

TRACE, ABOVE = "a" * 32, "b" * 16
ENV = {**os.environ, "AGENTCG_SOCKET": str(RUN / "admin.sock")}
AGENTCG = (sys.executable, "-m", "agentcg")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as it:
        yield it


def _say(*words: str) -> str:
    return subprocess.run(
        [*AGENTCG, *words], env=ENV, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def _metrics() -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(_say("metrics"))
        for sample in family.samples
    }


def _run(daemon: Daemon) -> None:
    env = {**os.environ, "TRACEPARENT": f"00-{TRACE}-{ABOVE}-01"}
    work = "sum(range(3_000_000))"
    assert daemon.acg("--", sys.executable, "-c", work, env=env).wait(30) == 0
    until(lambda: all(c["state"] == "closed" for c in daemon.history()), "its end")


def test_a_session_leaves_in_every_form(
    daemon: Daemon, collector: Collector, tmp_path: Path
) -> None:
    born = _metrics()
    assert born["agentcg_session_calls_ended_total", "exited", "one"] == 0
    assert born["agentcg_session_calls_declared_total", "one"] == 0
    words = [*AGENTCG, "otel", "--endpoint", collector.url]
    with subprocess.Popen(words, env=ENV, stderr=subprocess.PIPE, text=True) as otel:
        while not collector.spans:  # those that close before it follows are of the past
            _run(daemon)
            with contextlib.suppress(AssertionError):
                until(lambda: collector.spans, "the span", 1)
        otel.send_signal(signal.SIGTERM)
        assert otel.wait(20) == 130
        assert otel.stderr is not None
        assert otel.stderr.read() == ""
    span = collector.spans[0]
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, ABOVE)
    calls = {str(one["id"]) for one in daemon.history()}
    now = _metrics()
    assert now["agentcg_session_calls_ended_total", "exited", "one"] == len(calls)
    assert now["agentcg_session_cpu_seconds_total", "one"] > 0
    daemon.ask("DELETE", "/v1/sessions/one")
    assert ("agentcg_session_calls", "one") not in _metrics()
    _exports(calls, tmp_path)


def _exports(calls: set[str], folder: Path) -> None:
    """The session is closed, and all of it is there."""
    call = max(calls)
    for what, whole in (("today", calls), ("one", calls)):
        file = folder / "trace.json"
        _say("export", what, "-o", str(file))
        events: list[Any] = json.loads(file.read_text())["traceEvents"]
        assert {one["args"]["call"] for one in events if one["ph"] == "X"} == whole, what
        assert any(one["ph"] == "C" for one in events)
    rows = list(csv.DictReader(_say("export", call, "--format", "csv").splitlines()))
    assert {row["call"] for row in rows} == {call}
