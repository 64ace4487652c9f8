"""`agentcg gpu`: GPU memory, who has leases of it, and the engine beside them."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Sheet
from agentcg.cli.render import NONE, escape, size, span

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentcg.client import Client
    from agentcg.model.gpu import EngineStats, GpuReading, GpuView, Lease

_DEVICES = ("DEVICE", "NAME", "TOTAL", "USED", "FREE")
_LEASES = ("LEASE", "STATE", "SESSION", "CALL", "ASKED", "HAS", "USED", "GUARD", "LEFT", "WHY")
_FLAT = (
    *("id", "state", "session", "call", "asked", "bytes", "used", "guard", "gpu", "priority"),
    *("asked_at", "granted_at", "expires_at", "eta", "reason"),
)
_WAITS = frozenset({"queued", "shrinking"})


def register(app: typer.Typer) -> None:
    """Add the commands."""
    gpu = typer.Typer(invoke_without_command=True)
    gpu.callback()(show)
    gpu.command()(lease)
    gpu.command()(release)
    app.add_typer(gpu, name="gpu")


def show(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Anew, until interrupted.")] = False,
    every: Annotated[
        float, typer.Option("-d", "--every", min=0.5, max=60, help="Seconds between, with --watch.")
    ] = 1.0,
    form: Annotated[
        Sheet, typer.Option("-o", "--output", help="Tables; all as JSON; the leases as CSV.")
    ] = Sheet.TABLE,
) -> None:
    """Show devices, the engine's KV cache, leases with their guards, and who waits.

    With --watch, JSON is one line a reading.
    """
    if context.invoked_subcommand is not None:
        return
    from agentcg.cli.link import client

    with client() as daemon:
        if watch:
            _watch(daemon, form, every)
        else:
            _print(daemon.gpu(), form)


def lease(
    call: Annotated[str, typer.Argument(help="A call's id, or an unambiguous beginning.")],
    memory: Annotated[str, typer.Argument(help="How much, such as 8GiB.")],
    *,
    least: Annotated[str | None, typer.Option("--min", help="The least that is of use.")] = None,
    duration: Annotated[str | None, typer.Option("--time", help="For how long.")] = None,
    wait: Annotated[str, typer.Option("--wait", help="How long it may queue.")] = "0",
    form: output.FormatOption = output.Format.TABLE,
) -> None:
    """Ask for GPU memory for a call that is open; a call's own intent does that too (--gpu).

    Exit code 1 if it is denied.
    """
    from agentcg.cli.errors import FAILED
    from agentcg.cli.link import client, find
    from agentcg.model.gpu import LeaseState

    asked = {"memory": memory, "min": least, "duration": duration, "wait": wait}
    said = {key: value for key, value in asked.items() if value is not None}
    with client() as daemon:
        found = daemon.ask_lease({"call": find(daemon, call).call.id, **said})
    _tell(found, form)
    if found.state is LeaseState.DENIED:
        raise typer.Exit(FAILED)


def release(
    lease: Annotated[str, typer.Argument(help="The lease's id.")],
    form: output.FormatOption = output.Format.TABLE,
) -> None:
    """End a lease: its call is told to give the memory back, and is held to nothing after that."""
    from agentcg.cli.link import client

    with client() as daemon:
        found = daemon.release_lease(lease)
    _tell(found, form)


def _tell(found: "Lease", form: output.Format) -> None:
    if form is output.Format.JSON:
        output.json(found)
        return
    has = f" of {size(found.bytes)} on {found.gpu}" if found.bytes else ""
    why = f": {found.reason}" if found.reason else ""
    output.line(f"{found.id} is {found.state.value}{has}{why}")


def _watch(daemon: "Client", form: Sheet, every: float) -> None:
    from rich.console import Group
    from rich.live import Live

    if form is not Sheet.TABLE:
        _each(lambda head: _line(daemon.gpu(), form, head=head), every)
        return
    with Live(console=output.console(), auto_refresh=False, vertical_overflow="crop") as screen:
        _each(lambda _: screen.update(Group(*page(daemon.gpu(), time.time())), refresh=True), every)


def _each(work: Callable[[bool], None], every: float) -> None:
    head = True
    while True:
        work(head)
        head = False
        time.sleep(every)


def _line(view: "GpuView", form: Sheet, *, head: bool) -> None:
    if form is Sheet.JSON:
        output.json_line(view)
    else:
        output.csv(_FLAT, map(_flat, view.leases), head=head)


def _print(view: "GpuView", form: Sheet) -> None:
    from rich.console import Group

    match form:
        case Sheet.JSON:
            output.json(view)
        case Sheet.CSV:
            output.csv(_FLAT, map(_flat, view.leases))
        case Sheet.TABLE:
            output.show(Group(*page(view, time.time())))


def page(view: "GpuView", now: float) -> "list[RenderableType]":
    """All of it for people."""
    from rich.text import Text

    from agentcg.model.gpu import GuardKind

    parts: list[RenderableType] = [Text("no GPU is seen here")]
    if view.devices:
        parts = [output.grid(_DEVICES, map(_device, view.devices), right=(2, 3, 4))]
        parts.append(Text(f"reserve {size(view.reserve)}, leased to nobody"))
    if view.engine is not None:
        parts.append(Text(_engine(view.engine)))
    # As they stand in the vocabulary: weakest first; that of no guard always works.
    parts += [
        Text(f"guard {kind.value}: {escape(view.guards[kind]) or 'works'}")
        for kind in tuple(GuardKind)[:0:-1]
        if kind in view.guards
    ]
    if view.leases:
        rows = [_row(one, now) for one in sorted(view.leases, key=_order)]
        parts += [Text(""), output.grid(_LEASES, rows, right=(4, 5, 6, 8))]
    return parts


def _device(one: "GpuReading") -> Sequence[str]:
    return (one.uuid, one.name, size(one.total), size(one.used), size(one.free))


def _engine(one: "EngineStats") -> str:
    spare = "" if one.kv_reclaimable is None else f", {size(one.kv_reclaimable)} reclaimable"
    known = None not in (one.running, one.waiting)
    work = f"; {one.running} requests run, {one.waiting} wait" if known else ""
    return f"engine: KV cache {size(one.kv_used)} of {size(one.kv_limit)} used{spare}{work}"


def _order(one: "Lease") -> tuple[bool, float]:
    """Who has one first, then the queue."""
    return one.state.value in _WAITS, one.asked_at


def _row(one: "Lease", now: float) -> Sequence[str]:
    waits = one.state.value in _WAITS
    left = NONE if one.expires_at is None else span(max(0.0, one.expires_at - now))
    return (
        one.id,
        one.state.value,
        one.session,
        one.call,
        size(one.wish.memory),
        size(one.bytes) if one.bytes else NONE,
        size(one.used),
        one.guard.value,
        f"in {span(one.eta)}" if waits and one.eta is not None else left,
        one.reason,
    )


def _flat(one: "Lease") -> list[object]:
    said = {"asked": one.wish.memory, "state": one.state.value, "guard": one.guard.value}
    return [said[name] if name in said else getattr(one, name) for name in _FLAT]
