"""`agentcg probe`: what a session or a call does right now, as the kernel sees it."""

import errno
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Sheet, SheetOption
from agentcg.cli.render import NONE, size, span
from agentcg.model.traced import Question

if TYPE_CHECKING:
    from types import FrameType

    from agentcg.kernel.tracer import Tracer
    from agentcg.model.traced import SyscallStats, Traced

# Seconds: between looks at the clock; until the daemon is asked again, or once more if it is away.
_PAUSE = 0.5
_ASK_FOR, _ASK_AGAIN, _ASK_LATER = 1.0, 1.0, 30.0
_AGENT = "agent"
_RESTARTS = range(512, 517)  # the kernel's own answers, which no program sees
_COUNTED = ("SYSTEM CALL", "CALLS", "ERRORS", "TIME")
_COUNTS = ("name", "calls", "errors", "took")
_FLAT = ("call", "at", "cgroup_id", "pid", "program", "text", "result", "took", "bytes")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(probe)


def probe(
    question: Annotated[Question, typer.Argument(help="What to look at.")],
    *,
    session: Annotated[str | None, typer.Option(help="Everything in this session.")] = None,
    call: Annotated[str | None, typer.Option(help="Everything in this call.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="For so long; until Ctrl-C if unsaid.")
    ] = None,
    form: SheetOption = Sheet.TABLE,
) -> None:
    """Show what a session or call does now: programs, files, connections, disks, OOM kills.

    A line for each thing, as it happens; of system calls a table at the end. As root, on the host:
    the kernel is asked directly, by BPF, and nothing is recorded.
    """
    from agentcg.kernel.tracer import Tracer

    _need_root()
    inside, name = _whom(session, call)
    names = _Names()

    def show(one: "Traced") -> None:
        _print(one, name or names.of(one.cgroup_id), question, form)

    with Tracer(question, inside, show) as tracer, _interruptible() as over:
        output.note(f"probing {question.value}")
        if form is Sheet.CSV and question is not Question.SYSCALLS:
            output.csv(_FLAT, ())
        ends = math.inf if seconds is None else time.monotonic() + seconds
        while not over and (left := ends - time.monotonic()) > 0:
            tracer.wait(min(_PAUSE, left))
        _sum_up(tracer, question, form)


class _Names:
    """Which call a cgroup is, as far as the daemon is there to say so; it is asked now and then."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._ask_at = 0.0

    def of(self, cgroup_id: int) -> str:
        if cgroup_id and cgroup_id not in self._known and time.monotonic() >= self._ask_at:
            self._ask()
        return self._known.get(cgroup_id, _AGENT)

    def _ask(self) -> None:
        from agentcg.cli.link import client
        from agentcg.errors import AgentcgError

        again = _ASK_AGAIN
        try:
            with client(timeout=_ASK_FOR) as daemon:
                calls = [view.call for view in daemon.calls(everything=True)]
        except AgentcgError:
            again = _ASK_LATER
        else:
            self._known |= {one.cgroup_id: one.id for one in calls if one.cgroup_id is not None}
        self._ask_at = time.monotonic() + again


def _whom(session: str | None, call: str | None) -> tuple[int, str | None]:
    """The id of the cgroup that is looked at; and what it is called, if it is a call."""
    from agentcg.cli.link import client, find
    from agentcg.errors import BadValueError, ConflictError
    from agentcg.model.call import ALIVE

    if (session is None) == (call is None):
        raise BadValueError("say what to look at: --session ID or --call ID, one of them")
    with client() as daemon:
        if session is not None:
            return daemon.session(session).session.cgroup_id, None
        found = find(daemon, call or "").call
    if found.cgroup_id is None or found.state not in ALIVE:
        raise ConflictError(
            f"call {found.id} is {found.state.value} and has no cgroup: "
            f"`agentcg explain {found.id}` has what it did"
        )
    return found.cgroup_id, found.id


def _need_root() -> None:
    from agentcg.errors import DeniedError

    if os.geteuid() != 0:
        raise DeniedError("probes are loaded into the kernel: run this as root, on the host")


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Not empty any more when somebody wants it to end, so that the sums are still printed."""
    over: list[int] = []

    def end(number: int, _: "FrameType | None") -> None:
        over.append(number)
        # Once more, and it ends at once: it may be waiting for who reads what it prints.
        for again in before:
            signal.signal(again, signal.SIG_DFL)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, end)
    try:
        yield over
    finally:
        for number, what in before.items():
            signal.signal(number, what)


def _print(one: "Traced", name: str, question: Question, form: Sheet) -> None:
    if form is not Sheet.TABLE:
        from dataclasses import asdict

        told = {"call": name, **asdict(one)}
        if form is Sheet.JSON:
            output.json_line(told)
        else:
            unknown = {"pid": one.pid or None}
            if question is not Question.BLOCKIO:
                unknown["bytes"] = None
            output.csv(_FLAT, [[(told | unknown)[key] for key in _FLAT]], head=False)
        return
    words = [f"{name:<12}", f"{one.pid:>7}" if one.pid else f"{NONE:>7}", f"{one.program:<15}"]
    if question is Question.BLOCKIO:
        words = [words[0], f"{size(one.bytes):>9}", f"{span(one.took):>7}"]
        words += [f"failed (status {-one.result})"] if one.result else []
    elif question in (Question.OPEN, Question.CONNECT):
        words += [f"{span(one.took):>7}", f"{_answer(one.result):<11}"]
    output.line(" ".join([*words, one.text]))


def _answer(result: int) -> str:
    if result >= 0:
        return "ok"
    return "interrupted" if -result in _RESTARTS else errno.errorcode.get(-result, str(result))


def _sum_up(tracer: "Tracer", question: Question, form: Sheet) -> None:
    if question is Question.SYSCALLS:
        _counted(tracer.counts(), form)
    if tracer.lost:
        output.note(f"{tracer.lost} more were not shown: they came faster than they could be read")


def _counted(found: "Sequence[SyscallStats]", form: Sheet) -> None:
    match form:
        case Sheet.JSON:
            output.json(found)
        case Sheet.CSV:
            output.csv(_COUNTS, ((one.name, one.calls, one.errors, one.took) for one in found))
        case Sheet.TABLE:
            rows = [(one.name, str(one.calls), str(one.errors), span(one.took)) for one in found]
            output.table(_COUNTED, rows, right=(1, 2, 3))
