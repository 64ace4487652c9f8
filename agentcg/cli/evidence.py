"""The evidence about a call in print: timeline, limits against use, who held the pool, advice."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentcg.cli import output
from agentcg.cli.explain import sentences
from agentcg.cli.render import NONE, size, span
from agentcg.model.explanation import Bound, Explanation, Holding, Pressed, Whose
from agentcg.model.sample import Counters
from agentcg.model.view import CallView

if TYPE_CHECKING:
    from agentcg.model.sample import Usage

_KNOBS = ("LIMIT", "GRANTED", "USED", "FROM", "ENFORCED")
_SHOWN = 0.01  # seconds of waiting worth a word


def show(found: Explanation) -> None:
    """Print it; whatever comes from an agent is escaped."""
    used = found.used
    view = CallView(found.call, Counters(memory=used.memory, peak=used.peak, cpu=used.cpu))
    _lines("", sentences(view))
    _lines("Timeline", _timeline(found))
    output.line("")
    output.table(_KNOBS, [_bound(one) for one in found.bounds], right=(1, 2))
    _lines("Pressure", _waits(used))
    _lines("Who pressed whom", _pressed(found))
    _lines("Decided", (f"  {text}" for text in found.decided))
    _lines("Now", (f"  {text}" for text in found.advice))
    _lines("Not known", (f"  {text}" for text in found.gaps))


def _lines(title: str, lines: Iterator[str]) -> None:
    """A part with its title; nothing at all where it is empty."""
    for number, text in enumerate(lines):
        if number == 0 and title:
            output.line("")
            output.line(title)
        output.line(text)


def _timeline(found: Explanation) -> Iterator[str]:
    for step in found.timeline:
        often = f" ({step.times} times)" if step.times > 1 else ""
        yield f"  +{span(step.since):<9} {step.kind.value}{often} {step.text}".rstrip()


def _bound(one: Bound) -> Sequence[str]:
    show = _number if one.knob.startswith(("pids", "cpu")) else size
    if one.knob == "deadline":
        show = span
    return one.knob, show(one.granted), show(one.used), one.source, one.enforced or NONE


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}" if value % 1 else f"{value:.0f}"


def _waits(used: "Usage") -> Iterator[str]:
    for what, waited in (
        ("waited for memory", used.memory_some),
        ("all of it waited for memory", used.memory_full),
        ("waited for a CPU", used.cpu_some),
        ("waited for devices", used.io_some),
        ("was held back by its CPU limit", used.throttled),
    ):
        if waited is not None and waited >= _SHOWN:
            yield f"  {what} {span(waited)}"
    if used.max_hits:
        yield f"  was at its memory limit {used.max_hits} times"
    if used.oom_kills:
        yield f"  lost {used.oom_kills} processes to the OOM killer"


def _pressed(found: Explanation) -> Iterator[str]:
    for one in found.pressed:
        of = "" if found.pool is None else f"; the pool has {size(found.pool)} now"
        yield f"  +{span(one.since)}: {one.why}{of}"
        yield from _held(one)


def _held(one: Pressed) -> Iterator[str]:
    for holding in one.held:
        yield f"    {size(holding.memory):>9}  {_who(holding)}"
    if not one.held:
        yield "    nothing was recorded at that time"
    if one.cut:
        yield "    there was too much to go through: somebody may be missing"


def _who(one: Holding) -> str:
    match one.whose:
        case Whose.THIS:
            return "this call"
        case Whose.CALL:
            return (
                "another call"
                if one.call is None
                else f"{one.call} in {one.session}: {one.command}"
            )
        case Whose.OUTSIDE:
            return f"{one.session}, outside its calls, or of calls no longer known"
        case Whose.OTHERS:
            return f"all others ({one.count})"
        case Whose.SESSIONS:
            return "another session" if one.count == 1 else f"{one.count} other sessions"
