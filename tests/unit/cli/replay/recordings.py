"""A recording of a minute: a call that is frozen and killed, and one that goes on; all hostile."""

from dataclasses import replace
from pathlib import Path

from agentcg.cli.recording import lines
from agentcg.cli.recording.lines import Course, Head, Record
from agentcg.model.call import CallState
from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Sample, Usage
from agentcg.model.view import HostView
from tests.unit.cli.top import fleet
from tests.unit.cli.top.fleet import AT, MIB, NASTY

HEAD = Head(1, AT, AT + 60, HostView(NASTY, NASTY, NASTY, 16 << 30, 8, (), {}))


def samples(shift: float = 0.0) -> tuple[Sample, ...]:
    """One a second: it grows by 10 MiB, computes on a CPU, and waits half of the time."""
    return tuple(
        Sample(AT + n, n, True, Usage(n * 10 * MIB, n * 10 * MIB, n * 1.0, 0.0, memory_full=n / 2))
        for n in range(int(shift), 61)
    )


def records() -> list[Record]:
    home = replace(fleet.session("s-1", label=f"agent {NASTY}"), created_at=AT - 100)
    view = fleet.call(3, "s-1")
    goes = replace(view.call, id=CallId("c-goes"), declared_at=AT - 50, started_at=AT - 50)
    outcome = Outcome(Cause.OOM, 137, 9, 38.0, advice=f"Ask. {NASTY}")
    dies = replace(
        goes,
        id=CallId("c-dies"),
        state=CallState.CLOSED,
        declared_at=AT + 1,
        started_at=AT + 2,
        ended_at=AT + 40,
        closed_at=AT + 41,
        outcome=outcome,
    )
    gone = replace(dies, id=CallId("c-other"), session=SessionId("s-gone"))
    told = [(10, Kind.CALL_FROZEN), (20, Kind.CALL_THAWED), (39, Kind.CALL_OOM)]
    return [
        HEAD,
        fleet.seen(home, 1),
        goes,
        dies,
        gone,
        Course("s-1", None, samples(), 700 * MIB),
        Course("s-1", "c-goes", samples()),
        Course("s-1", "c-dies", samples(2)[:39]),
        *(Event(n, AT + n, kind, "s-1", "c-dies", NASTY) for n, kind in told),
    ]


def written(path: Path) -> Path:
    with path.open("wb") as file:
        lines.write(records(), file)
    return path
