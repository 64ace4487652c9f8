"""What is shown of one session above its calls, and of one call: budget, pressure, its trace."""

from collections.abc import Sequence

from rich.text import Text

from agentcg.cli import course, plot
from agentcg.cli.explain import sentences
from agentcg.cli.plot import Glyphs
from agentcg.cli.top import figures
from agentcg.cli.top.board import Board
from agentcg.model.call import Call
from agentcg.model.sample import Counters, Sample
from agentcg.model.view import CallView, SessionView

_RECENT = 10.0  # seconds that pressure is told of


def session(board: Board, name: str, glyphs: Glyphs) -> list[Text]:
    """Two lines: what it may use and uses, its budget and what it waited for."""
    seen = board.reading.sessions if board.reading is not None else ()
    found = next((view for view in seen if view.session.id == name), None)
    if found is None:
        return [Text("it is closed", "bold"), Text()]
    words = f"{_memory(found)}  {_waited(board, name)}"
    return [Text(plot.shown(words, glyphs)), Text(_budget(found), "dim")]


def _memory(view: SessionView) -> str:
    words = [f"memory {figures.size(view.memory)} of {figures.size(view.limit)}"]
    if view.calls_limit is not None:
        words.append(f"calls to {figures.size(view.calls_limit)}")
    if view.agent_limit is not None:
        words.append(f"agent to {figures.size(view.agent_limit)}")
    return ", ".join(words)


def _budget(view: SessionView) -> str:
    budget = view.session.budget
    words = [
        f"{what} {figures.size(value)}"
        for what, value in (("memory", budget.memory), ("guarantee", budget.guarantee))
        if value is not None
    ]
    if budget.pids is not None:
        words.append(f"{budget.pids} tasks")
    return f"budget: {', '.join([*words, f'{view.open_calls} of {budget.calls} calls'])}"


def _waited(board: Board, name: str) -> str:
    """Pressure over the last readings of everything, some 10 s."""
    if board.trace_of == name and board.trace_failure:
        return board.trace_failure
    samples = board.trace.samples if board.trace is not None and board.trace_of == name else ()
    full = [one for one in samples if one.full]
    if len(full) < 2:
        return figures.waited((None, None, None))
    last = full[-1]
    first = next(one for one in full if one is full[-2] or last.clock - one.clock <= _RECENT)
    kinds = ("memory_some", "cpu_some", "io_some")
    return figures.waited([_share(first, last, kind) for kind in kinds])


def _share(first: Sample, last: Sample, figure: str) -> float | None:
    before, now = getattr(first.usage, figure), getattr(last.usage, figure)
    if before is None or now is None or last.clock <= first.clock:
        return None
    return float(max(0.0, now - before) / (last.clock - first.clock) * 100)


def call(board: Board, name: str, *, width: int, glyphs: Glyphs) -> Sequence[Text]:
    """The trace, as `agentcg trace` draws it, and what `agentcg explain` says."""
    lines: list[Text] = []
    if board.trace_of != name:
        lines.append(Text("asking for its trace", "dim"))
    elif board.trace is not None:
        lines += course.page(board.trace, width=width, glyphs=glyphs)
    if board.trace_of == name and board.trace_failure:
        lines.append(Text(plot.shown(board.trace_failure, glyphs), "dim"))
    record, usage = _known(board, name)
    if record is not None:
        lines.append(Text())
        lines += [Text(plot.shown(one, glyphs)) for one in sentences(CallView(record, usage))]
    return lines


def _known(board: Board, name: str) -> tuple[Call | None, Counters]:
    """Its record, from its trace if possible: that knows the outcome when it is over."""
    view = board.calls.get(name)
    usage = Counters() if view is None else view.usage
    if board.trace is not None and board.trace_of == name and board.trace.call is not None:
        return board.trace.call, usage
    return None if view is None else view.call, usage
