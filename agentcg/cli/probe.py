"""`agentcg probe`: what a session or a call does right now, as the kernel sees it."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Format, FormatOption
from agentcg.cli.render import NONE, size, span
from agentcg.model.traced import Question

if TYPE_CHECKING:
    from types import FrameType

    from agentcg.client import Client
    from agentcg.kernel.tracer import Tracer
    from agentcg.model.traced import Traced

_PAUSE = 0.5  # seconds between looks at the clock and at what was lost
_AGENT = "agent"
_COUNTED = ("SYSTEM CALL", "CALLS", "ERRORS", "TIME")


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
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what a session or call does now: programs, files, connections, disks, OOM kills.

    A line for each thing, as it happens; of system calls a table at the end. As root, on the host:
    the kernel is asked directly, by BPF, and nothing is recorded.
    """
    from agentcg.cli.link import client
    from agentcg.kernel.tracer import Tracer

    with client() as daemon:
        names, inside = _Names(daemon), _inside(daemon, session, call)
        ends = None if seconds is None else time.monotonic() + seconds

        def show(one: "Traced") -> None:
            _print(one, names.of(one.cgroup_id), question, form)

        _need_root()
        with Tracer(question, inside, show) as tracer, _interruptible() as over:
            output.note(f"probing {question.value}")
            while not over and (ends is None or time.monotonic() < ends):
                left = _PAUSE if ends is None else min(_PAUSE, max(0.0, ends - time.monotonic()))
                tracer.wait(left)
            _sum_up(tracer, question, form)


class _Names:
    """Which call a cgroup is. The daemon is asked once for each: ids are not used again."""

    def __init__(self, daemon: "Client") -> None:
        self._daemon = daemon
        self._known: dict[int, str] = {}

    def of(self, cgroup_id: int) -> str:
        if cgroup_id not in self._known:
            calls = [view.call for view in self._daemon.calls(everything=True)]
            self._known |= {one.cgroup_id: one.id for one in calls if one.cgroup_id is not None}
        return self._known.setdefault(cgroup_id, _AGENT)


def _inside(daemon: "Client", session: str | None, call: str | None) -> int:
    """The id of the cgroup that is looked at."""
    from agentcg.cli.link import find
    from agentcg.errors import BadValueError, ConflictError

    if (session is None) == (call is None):
        raise BadValueError("say what to look at: --session ID or --call ID, one of them")
    if session is not None:
        return daemon.session(session).session.cgroup_id
    found = find(daemon, call or "").call
    if found.cgroup_id is None:
        raise ConflictError(f"call {found.id} is {found.state.value}: it has no cgroup")
    return found.cgroup_id


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

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield over
    finally:
        for number, what in before.items():
            signal.signal(number, what)


def _print(one: "Traced", name: str, question: Question, form: Format) -> None:
    if form is Format.JSON:
        from dataclasses import asdict

        output.json_line({"call": name, **asdict(one)})
        return
    words = [f"{name:<12}", f"{one.pid:>7}" if one.pid else f"{NONE:>7}", f"{one.program:<15}"]
    if question is Question.BLOCKIO:
        words = [words[0], f"{size(one.bytes):>9}", f"{span(one.took):>7}"]
    if question in (Question.OPEN, Question.CONNECT):
        words += [f"{span(one.took):>7}", f"{_answer(one.result):<11}"]
    elif one.result < 0:
        words.append(f"failed ({-one.result})")
    output.line(" ".join([*words, one.text]))


def _answer(result: int) -> str:
    return "ok" if result >= 0 else errno.errorcode.get(-result, str(result))


def _sum_up(tracer: "Tracer", question: Question, form: Format) -> None:
    if question is Question.SYSCALLS:
        found = tracer.counts()
        if form is Format.JSON:
            output.json(found)
        else:
            rows = [(one.name, str(one.calls), str(one.errors), span(one.took)) for one in found]
            output.table(_COUNTED, rows, right=(1, 2, 3))
    if tracer.lost:
        output.note(f"{tracer.lost} more were not shown: they came faster than they could be read")
