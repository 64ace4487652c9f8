"""The demo's result: a row for each call, the words for the models, and a row for each agent."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcg.cli.render import NONE, escape, span
from vm_tests.demo import state

_CALL_NUMBERS = ("min\nMiB", "max\nMiB", "peak\nMiB", "throttled", "time")
_AGENT_NUMBERS = (
    "prio", "cpu\nweight", "planned", "took", "waited\nfor CPU", "CPU\nused",
    "peak\nMiB", "min\nMiB", "taken\nback MiB",
)  # fmt: skip
_WIDE = 100  # columns of a terminal; in a narrower one there is no room for classes and air
_KILLED = frozenset({"oom", "stall", "deadline"})


def report(console: Console, result: state.Result) -> None:
    """Print all of it."""
    calls = f"Result: {len(result.rows)} calls in {result.seconds:.0f} s on {result.host}"
    console.print(Text(f"\n{escape(calls)}\n", style="bold"), soft_wrap=True)
    wide = console.width >= _WIDE
    left = ("call", "what", "class") if wide else ("call", "what")
    rows = [(_style(row), _cells(row, wide=wide)) for row in result.rows]
    gap = 2 if wide else 1
    console.print(_table(left, _CALL_NUMBERS, "outcome", rows, gap))
    for row in result.rows:
        if _notable(row):
            _words(console, row)
    console.print(Text("\nWhat each agent got\n", style="bold"))
    totals = [("bold green" if t.priority > 0 else "", _total(t)) for t in result.totals]
    console.print(_table(("agent",), _AGENT_NUMBERS, "at\nthe end", totals, gap))


def _table(
    left: Sequence[str],
    right: Sequence[str],
    last: str,
    rows: Sequence[tuple[str, Sequence[str]]],
    gap: int,
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column(last, no_wrap=True)
    for style, cells in rows:
        table.add_row(*(Text(escape(cell)) for cell in cells), style=style)
    return table


def _cells(row: state.Row, *, wide: bool) -> Sequence[str]:
    code = "" if row.exit_code is None else f" {row.exit_code}"
    cut = "" if row.granted in (None, row.asked) else f" of {_mib(row.asked)}"
    return (
        _name(row),
        row.what,
        *((row.cpu_class,) if wide else ()),
        _mib(row.guarantee or None),
        f"{_mib(row.granted)}{cut}",
        _mib(row.peak, digits=1),
        span(row.throttled),
        span(row.wall),
        f"KILLED: {row.cause}" if row.cause in _KILLED else f"{row.cause}{code}",
    )


def _total(total: state.Total) -> Sequence[str]:
    return (
        total.tenant,
        str(total.priority),
        str(total.weight),
        f"{total.planned:.0f} s",
        NONE if total.took is None else f"{total.took:.0f} s",
        NONE if total.waited is None else f"{total.waited:.0f} s",
        NONE if total.cpu is None else f"{total.cpu:.0f} s",
        _mib(total.peak),
        _mib(total.guarantee or None),
        _mib(total.reclaimed),
        "alive" if total.alive else "DEAD",
    )


def _mib(value: int | None, *, digits: int = 0) -> str:
    return NONE if value is None else f"{value / (1 << 20):.{digits}f}"


def _style(row: state.Row) -> str:
    return "bold red" if row.cause in _KILLED else ""


def _notable(row: state.Row) -> bool:
    return row.cause != "exited" or bool(row.exit_code) or bool(row.notes)


def _words(console: Console, row: state.Row) -> None:
    console.print(Text(f"\n{escape(_name(row))}: what its model is told", style="bold"))
    for text in (*row.notes, row.advice):
        console.print(Text(f"  {escape(text)}"), soft_wrap=not console.is_terminal)


def _name(row: state.Row) -> str:
    return f"{row.tenant} {row.number}"
