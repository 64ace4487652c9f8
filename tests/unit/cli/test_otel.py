"""`agentcg otel`: each closed call is one span, once, whatever is away for a while."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agentcg.cli.otel import sender as senders
from agentcg.cli.otel.command import _headers, _url
from agentcg.cli.otel.follow import Follower
from agentcg.cli.otel.sender import Sender
from agentcg.cli.otel.spans import span
from agentcg.errors import BadValueError, NotFoundError
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Counters
from agentcg.model.view import CallView
from tests.unit.cli.collector import Collector, collecting, until

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as it:
        yield it


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "_FIRST", 0.01)


def closed(name: str, **about: Any) -> Call:
    intent = Intent("bash", "make", "toolu_1", traceparent=about.pop("traceparent", None))
    outcome = Outcome(Cause.OOM, 137, 9, peak=2**31, cpu=1.5, advice="ask for 4 GiB")
    call = Call(
        CallId(name), SessionId("s-1"), intent, Grant(), CallState.CLOSED, 100.0, 101.0, 105.5
    )
    return replace(call, outcome=outcome, **about)


def attributes(one: dict[str, Any]) -> dict[str, Any]:
    return {a["key"]: next(iter(a["value"].values())) for a in one["attributes"]}


def test_a_call_is_a_span_below_its_parent() -> None:
    one = span(closed("c-1", traceparent=PARENT))
    assert (one["traceId"], one["parentSpanId"]) == ("a" * 32, "b" * 16)
    assert one["startTimeUnixNano"] == "101000000000"
    assert one["endTimeUnixNano"] == "105500000000"
    assert one["status"] == {"code": 2, "message": "ask for 4 GiB"}
    found = attributes(one)
    assert found["gen_ai.tool.call.id"] == "toolu_1"
    assert found["gen_ai.tool.name"] == "bash"
    assert found["agentcg.session"] == "s-1"
    assert found["agentcg.outcome"] == "oom"
    assert found["agentcg.memory.peak"] == str(2**31)
    assert found["agentcg.cpu.time"] == 1.5
    alone = span(closed("c-1"))
    assert "parentSpanId" not in alone
    assert (len(alone["traceId"]), len(alone["spanId"])) == (32, 16)


def test_a_clock_that_was_put_back_makes_no_negative_span() -> None:
    one = span(closed("c-1", ended_at=50.0))
    assert one["startTimeUnixNano"] == one["endTimeUnixNano"]


def test_what_is_refused_for_now_is_sent_again(collector: Collector) -> None:
    told: list[str] = []
    collector.statuses = [503, 429]
    sender = Sender(_url(collector.url), {"x-key": "k"}, "h", told.append)
    sender.put(span(closed("c-1")))
    until(lambda: collector.spans, "the span")
    sender.close()
    assert collector.attempts == 3
    assert set(collector.paths) == {"/v1/traces"}
    assert {name.lower(): v for name, v in collector.headers[0].items()}["x-key"] == "k"
    assert [line.rpartition("; ")[0] or line for line in told] == [
        f"{_url(collector.url)} answers 503",
        f"{_url(collector.url)} takes spans again",
    ]


def test_what_no_client_can_send_is_dropped_and_the_next_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    sender = Sender("http://a..b:1/v1/traces", {}, "h", told.append)
    for n in (1, 2):
        sender.put(span(closed(f"c-{n}")))
        until(lambda n=n: sender.dropped == n, "the loss")  # type: ignore[misc]
    sender.close()
    assert "1 spans dropped" in told[0]


def test_what_is_refused_for_good_is_told(collector: Collector) -> None:
    told: list[str] = []
    collector.statuses = [400]
    sender = Sender(_url(collector.url), {}, "h", told.append)
    sender.put(span(closed("c-1")))
    until(lambda: sender.dropped, "the loss")
    sender.put(span(closed("c-2")))
    until(lambda: collector.spans, "the other span")
    collector.answer = {"partialSuccess": {"rejectedSpans": "1"}}
    sender.put(span(closed("c-3")))
    until(lambda: sender.dropped == 2, "the rejected one")
    sender.close()
    assert "refuses them with 400" in told[0]
    assert "1 spans dropped, 2 in all" in told[-1]


def test_what_is_under_way_at_the_end_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "FLUSH_WITHIN", 0.05)
    asked, go_on, told = threading.Event(), threading.Event(), list[str]()

    def post(*_: object) -> tuple[str, None]:
        asked.set()
        go_on.wait(30)
        return "refused", None

    monkeypatch.setattr(Sender, "_post", post)
    sender = Sender("http://127.0.0.1:9", {}, "h", told.append)
    sender.put(span(closed("c-1")))
    assert asked.wait(30)
    sender.put(span(closed("c-2")))
    sender.close()
    assert told == ["2 spans dropped, 2 in all: the end came before they were sent"]
    go_on.set()
    sender._thread.join(30)
    assert sender.dropped == 2


def test_a_collector_that_is_away_costs_the_oldest_and_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "QUEUE", 3)
    monkeypatch.setattr(senders, "FLUSH_WITHIN", 0.05)
    told: list[str] = []
    sender = Sender("http://127.0.0.1:1/v1/traces", {}, "h", told.append)
    for n in range(10):
        sender.put(span(closed(f"c-{n}")))
    sender.close()
    assert sender.dropped == 10
    assert "10 in all" in told[-1]


class Fake:
    """A daemon's list and events, as a client reads them."""

    def __init__(self, calls: list[Call], events: list[Event]) -> None:
        self.list = calls
        self.told = events
        self.more: list[Call] = []

    def calls(self, *, everything: bool) -> list[CallView]:
        assert everything
        return [CallView(call, Counters()) for call in reversed(self.list)]

    def call(self, name: str) -> CallView:
        for one in (*self.list, *self.more):
            if one.id == name:
                return CallView(one, Counters())
        raise NotFoundError(name)

    def events(self, after: int) -> Iterator[Event]:
        return iter([event for event in self.told if event.seq > after])


def over(seq: int, call: str) -> Event:
    return Event(seq, 1.0, Kind.CALL_CLOSED, "s-1", call)


def test_calls_are_told_once_and_those_of_the_past_are_not() -> None:
    sent: list[str] = []
    lost: list[int] = []

    def send(one: dict[str, Any]) -> None:
        sent.append(attributes(one)["agentcg.call"])

    follower = Follower(send, lambda count, _: lost.append(count), 0.0)
    first = Fake([closed("c-0")], [over(5001, "c-0"), over(5002, "c-1"), over(5003, "c-gone")])
    first.more = [closed("c-1")]
    follower.follow(first)  # type: ignore[arg-type]
    assert sent == ["c-1"]
    assert lost == [1]
    # Another daemon: it numbers from 1 again, its clock is behind, and a call closed meanwhile.
    second = Fake([closed("c-1"), closed("c-2")], [over(1, "c-2"), over(2, "c-3")])
    second.more = [closed("c-3", declared_at=1.0)]
    follower.follow(second)  # type: ignore[arg-type]
    assert sent == ["c-1", "c-2", "c-3"]
    # Events that were lost to a slow reader are made good by the list.
    third = Fake([closed("c-3")], [Event(3, 1.0, Kind.LOST)])
    third.told.append(over(4, "c-4"))
    third.more = [closed("c-4")]
    follower.follow(third)  # type: ignore[arg-type]
    assert sent[3:] == ["c-4"]


def test_what_the_daemon_remembers_of_the_past_is_not_sent() -> None:
    sent: list[str] = []
    follower = Follower(
        lambda one: sent.append(attributes(one)["agentcg.call"]), lambda *_: None, 10.0
    )
    fake = Fake([], [over(1, "c-0"), replace(over(2, "c-1"), at=11.0), over(3, "c-2")])
    fake.more = [closed("c-0"), closed("c-1"), closed("c-2")]  # the last after the clock was put
    follower.follow(fake)  # type: ignore[arg-type]
    follower.follow(fake)  # type: ignore[arg-type]
    assert sent == ["c-1", "c-2"]


def test_the_endpoint_and_headers_are_as_opentelemetry_has_them() -> None:
    assert _url("http://h:4318/") == "http://h:4318/v1/traces"
    assert _url("https://h/x/v1/traces") == "https://h/x/v1/traces"
    assert _headers("a=b%20c, d=e=f") == {"a": "b c", "d": "e=f"}
    for bad in (
        "h:4318",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://a..b",
        "http://h/?a",
        "http://u:p@h",
    ):
        with pytest.raises(BadValueError, match="endpoint"):
            _url(bad)
    for wrong in ("a=%0ab", "=b", "a=\u00fc"):
        with pytest.raises(BadValueError, match="HEADERS"):
            _headers(wrong)
