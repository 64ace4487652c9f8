"""Series of sessions: bounded, born at 0, and never falling."""

from agentcg.model.event import Event, Kind
from agentcg.model.metered import OTHER, Totals
from agentcg.model.outcome import Cause
from agentcg.telemetry.meter import Count, Meter


def count(meter: Meter, session: str) -> Count:
    found = meter.of(session)
    assert found is not None
    return found


def ended(session: str, cause: Cause) -> Event:
    return Event(1, 0.0, Kind.CALL_ENDED, session, "c-1", data={"cause": cause.value})


def test_counters_begin_at_0_whatever_the_cgroup_had_counted() -> None:
    meter = Meter(10)
    meter.open("s-1", Totals(cpu=100.0, oom_kills=3))
    shown = count(meter, "s-1").shown("s-1", 0, 5, None)
    assert shown.totals == Totals()
    assert shown.ended == dict.fromkeys(Cause, 0)
    count(meter, "s-1").read(Totals(cpu=101.5, oom_kills=4))
    assert count(meter, "s-1").totals == Totals(cpu=1.5, oom_kills=1)


def test_what_is_gone_or_read_late_makes_no_counter_fall() -> None:
    meter = Meter(10)
    meter.open("s-1", Totals(cpu=1.0))
    count(meter, "s-1").read(Totals(cpu=5.0))
    count(meter, "s-1").read(Totals())
    assert count(meter, "s-1").totals.cpu == 4.0


def test_events_are_counted_by_session() -> None:
    meter = Meter(10)
    meter.open("s-1", Totals())
    meter.hear(Event(1, 0.0, Kind.CALL_DECLARED, "s-1", "c-1"))
    meter.hear(ended("s-1", Cause.OOM))
    meter.hear(ended("s-2", Cause.OOM))
    meter.hear(Event(2, 0.0, Kind.DAEMON))
    assert count(meter, "s-1").declared == 1
    assert count(meter, "s-1").ended == {Cause.OOM: 1}
    meter.close("s-1")
    assert meter.of("s-1") is None


def test_beyond_the_bound_sessions_are_one_and_its_sum_keeps_who_closed() -> None:
    meter = Meter(1)
    for name in ("s-1", "s-2", "s-3"):
        meter.open(name, Totals())
        meter.hear(ended(name, Cause.EXITED))
        count(meter, name).read(Totals(cpu=2.0))
    assert [name for name in ("s-1", "s-2", "s-3") if meter.is_own(name)] == ["s-1"]
    assert meter.rest().totals.cpu == 4.0
    meter.close("s-2")
    assert meter.rest().totals.cpu == 4.0
    assert meter.rest().ended[Cause.EXITED] == 2
    meter.close("s-1")
    # A free place is for who comes: who moved would look like a counter that was reset.
    assert not meter.is_own("s-3")
    meter.open("s-4", Totals())
    assert meter.is_own("s-4")


def test_a_session_called_other_is_one_of_the_rest() -> None:
    meter = Meter(5)
    meter.open(OTHER, Totals())
    assert not meter.is_own(OTHER)
