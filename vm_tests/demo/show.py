"""The display: a live table on a terminal, plain lines elsewhere, and the closing report."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentcg.cli.render import escape, size, span
from vm_tests.demo import state

_BAR = 12
_PLAIN_SECONDS = 10
_PIPE_WIDTH = 160
_NOTABLE = ("call.oom", "call.ended", "call.stalled", "agent.oom", "pressure", "call.changed")
_COLUMNS = ("agent", "prio", "progress", "session memory", "call", "its memory", "last event")


class Display:
    """Takes the driver's output as it comes, in chunks of any size."""

    def __init__(self) -> None:
        self.result: state.Result | None = None
        self.failure = ""
        self._rest = b""
        self._last: dict[str, str] = {}
        self._printed = -_PLAIN_SECONDS
        terminal = sys.stdout.isatty()
        self.console = Console(
            width=None if terminal else _PIPE_WIDTH, highlight=False, markup=False, emoji=False
        )
        self._live = Live(console=self.console, auto_refresh=False) if terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def feed(self, chunk: bytes) -> None:
        """Show what is in the chunk; a line that is not the driver's is shown as text."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            try:
                message = state.decode(line)
            except ValueError:
                self._say(escape(line.decode(errors="replace")))
            else:
                self._take(message)

    def _take(self, message: state.Message) -> None:
        match message:
            case state.Now():
                self._now(message)
            case state.Told():
                self._told(message)
            case state.Result():
                self.result = message
            case state.Failed():
                self.failure = escape(message.text)

    def _told(self, told: state.Told) -> None:
        if told.event not in _NOTABLE:
            return
        text = escape(told.text)
        self._last[told.tenant] = text
        if not self._live or told.event != "call.ended" or text.startswith("Killed"):
            self._say(f"{told.t:5.0f} s  {escape(told.tenant)}  {escape(told.event)}: {text}")

    def _now(self, now: state.Now) -> None:
        if self._live:
            self._live.update(_live_table(now, self._last), refresh=True)
        elif now.t - self._printed >= _PLAIN_SECONDS:
            self._printed = int(now.t)
            for tenant in now.tenants:
                memory = f"{size(tenant.memory)} of {size(tenant.limit)}"
                parts = [f"{tenant.progress:4.0%}", memory, _call(tenant), _memory(tenant)]
                self._say(f"{now.t:5.0f} s  {escape(tenant.name)}  {'  '.join(parts)}")

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)


def report(console: Console, result: state.Result) -> None:
    """Print a row for each call, and in full the advice of those that did not go well."""
    console.print(f"\nResult: {len(result.rows)} calls in {result.seconds:.0f} s on ", end="")
    console.print(escape(result.host))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("call", "what", "class"):
        table.add_column(name, no_wrap=True)
    for name in ("asked", "granted", "peak", "throttled", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for row in result.rows:
        table.add_row(*(Text(escape(cell)) for cell in _cells(row)))
    console.print(table)
    for row in result.rows:
        if _notable(row):
            _words(console, row)
    for name, alive in result.alive.items():
        console.print(Text(f"agent {escape(name)}: {'alive' if alive else 'DEAD'} at the end"))


def _cells(row: state.Row) -> Sequence[str]:
    code = "" if row.exit_code is None else f", code {row.exit_code}"
    killed = "KILLED: " if row.cause in {"oom", "stall", "deadline"} else ""
    return (
        _name(row),
        row.what,
        row.cpu_class,
        size(row.asked),
        size(row.granted),
        size(row.peak),
        span(row.throttled),
        span(row.wall),
        f"{killed}{row.cause}{code}",
    )


def _notable(row: state.Row) -> bool:
    return row.cause != "exited" or bool(row.exit_code) or bool(row.notes)


def _words(console: Console, row: state.Row) -> None:
    console.print(Text(f"\n{escape(_name(row))}: what its model is told"), style="bold")
    for text in (*row.notes, row.advice):
        console.print(Text(f"  {escape(text)}"), soft_wrap=not console.is_terminal)


def _name(row: state.Row) -> str:
    return f"{row.tenant} {row.number}"


def _live_table(now: state.Now, last: dict[str, str]) -> Table:
    table = Table(title=f"agentcg demo, {now.t:.0f} s", title_justify="left", expand=True)
    for name in _COLUMNS[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(_COLUMNS[-1], overflow="fold", ratio=1)
    for tenant in now.tenants:
        full = round(tenant.progress * _BAR)
        cells = (
            tenant.name + ("" if tenant.alive else " DEAD"),
            str(tenant.priority),
            f"{'━' * full}{'╌' * (_BAR - full)} {tenant.progress:4.0%}",
            f"{size(tenant.memory)} of {size(tenant.limit)}",
            _call(tenant),
            _memory(tenant),
            last.get(tenant.name, ""),
        )
        style = "bold" if tenant.priority > 0 else ""
        table.add_row(*(Text(escape(cell)) for cell in cells), style=style)
    return table


def _call(tenant: state.TenantNow) -> str:
    call = tenant.call
    if call is None:
        return "done" if tenant.progress == 1 else "thinks"
    return escape(f"{call.number} {call.what}, {call.state}")


def _memory(tenant: state.TenantNow) -> str:
    call = tenant.call
    return "" if call is None else f"{size(call.memory)} of {size(call.limit)}"
