"""The display while the demo runs: a live table on a terminal, plain lines elsewhere."""

import sys
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentcg.cli.render import NONE, escape, size
from vm_tests.demo import state

_BAR = 16
_BAR_FROM = 92  # columns of the terminal; in a narrower one the percentage must do
_PLAIN_SECONDS = 10
_PIPE_WIDTH = 160
_MIB = 1 << 20
_NOTABLE = ("call.oom", "call.ended", "call.stalled", "agent.oom", "pressure", "call.changed")


class Display:
    """Takes the driver's output as it comes, in chunks of any size; keeps it in `record`."""

    def __init__(self, record: IO[bytes] | None = None) -> None:
        self.result: state.Result | None = None
        self.failure = ""
        self._record = record
        self._rest = b""
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
        if self._record:
            self._record.write(chunk)
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
                if text := notable(message, everything=not self._live):
                    self._say(text)
            case state.Result():
                self.result = message
            case state.Failed():
                self.failure = escape(message.text)

    def _now(self, now: state.Now) -> None:
        if self._live:
            self._live.update(table(now, self.console.width), refresh=True)
        elif now.t - self._printed >= _PLAIN_SECONDS:
            self._printed = int(now.t)
            for tenant in now.tenants:
                memory = f"{size(tenant.memory)} of {size(tenant.limit)}"
                parts = [f"{tenant.progress:4.0%}", f"CPU {_cpu(tenant):>4}", memory, _call(tenant)]
                if call := tenant.call:
                    parts.append(f"{size(call.memory)} of {size(call.limit)}")
                self._say(f"{now.t:5.0f} s  {escape(tenant.name)}  {'  '.join(parts)}")

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=not self._live)


def notable(told: state.Told, *, everything: bool) -> str:
    """A line for an event; the table shows by itself what went well."""
    quiet = told.event == "call.ended" and not told.text.startswith("Killed")
    if told.event not in _NOTABLE or (quiet and not everything):
        return ""
    return f"{told.t:5.0f} s  {escape(told.tenant)}  {escape(told.event)}: {escape(told.text)}"


def table(now: state.Now, width: int) -> Table:
    """The live table."""
    pool = f"   pool: {_of(now.pool, now.pool_limit)} MiB" if now.pool else ""
    made = Table(
        title=f"agentcg demo   {now.t:.0f} s{pool}", title_justify="left", title_style="bold",
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim",
    )  # fmt: skip
    for name in ("agent", "prio", "done"):
        made.add_column(name, no_wrap=True)
    for name in ("cpu", "session MiB"):
        made.add_column(name, no_wrap=True, justify="right")
    # Wide enough for all calls: a table that moves is hard to read.
    made.add_column("call", no_wrap=True, min_width=24)
    made.add_column("its MiB", no_wrap=True, justify="right", min_width=10)
    for tenant in now.tenants:
        cells = (
            tenant.name + ("" if tenant.alive else " DEAD"),
            str(tenant.priority),
            _progress(tenant.progress, width),
            _cpu(tenant),
            _of(tenant.memory, tenant.limit),
            _call(tenant),
            _of(tenant.call.memory, tenant.call.limit) if tenant.call else "",
        )
        style = "bold green" if tenant.priority > 0 else ""
        made.add_row(*(Text(escape(cell)) for cell in cells), style=style)
    return made


def _progress(done: float, width: int) -> str:
    full = round(done * _BAR)
    bar = f"{'━' * full}{'╌' * (_BAR - full)} " if width >= _BAR_FROM else ""
    return f"{bar}{done:4.0%}"


def _cpu(tenant: state.TenantNow) -> str:
    return NONE if tenant.cpu is None else f"{tenant.cpu:.0%}"


def _of(used: int | None, limit: int | None) -> str:
    return " of ".join(NONE if n is None else f"{n / _MIB:.0f}" for n in (used, limit))


def _call(tenant: state.TenantNow) -> str:
    call = tenant.call
    if call is None:
        return "done" if tenant.progress == 1 else "thinks"
    return escape(f"{call.number} {call.what}, {call.state}")
