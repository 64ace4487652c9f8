"""Which call a process of the agent's cgroup belongs to: by what it says, whose it is, and when.

What is known of each process is its *role*. The session's first processes, and those that come in
from outside, are the harness, or lead to it. What a harness or its shell starts is a command; what
a command starts is part of it. A shell that waits for commands, and what only starts something else
(tmux, su), stay the agent's. Nothing here is proof: an agent can name its processes as it likes, so
it gains no right by it. Judging costs little however it does: it is done for each program that it
starts. Finding the announcement that a command is costs more, so that is asked separately.

Example: claude (harness) -> tmux (through) -> bash (shell) -> make (command) -> cc (part of it).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agentcg.harness import shells
from agentcg.harness.announced import Announced
from agentcg.harness.lookup import by_line, looks
from agentcg.harness.shells import Form, Started
from agentcg.harness.typed import Reader
from agentcg.model.ids import CallId
from agentcg.model.process import Seen

WITHIN = 5.0  # seconds after its announcement a shell's next command is taken for it
KNOWN = 4096  # processes
_SPANS = 256
_SPARED = 256
_LONG = 128  # for a span: one that the standard knows has 55 characters
_CONVERSATION = ("CLAUDE_CODE_SESSION_ID", "OPENHANDS_SESSION_ID")


class Role(StrEnum):
    """What a process is in its session."""

    FIRST = "first"  # leads to a harness, or is one and has not said so yet
    HARNESS = "harness"
    SHELL = "shell"  # of the harness, or a person's
    COMMAND = "command"


class Reason(StrEnum):
    """What a new command is taken by for the announced call that it is, if it is one."""

    WORDS = "words"  # its command line is one that was announced
    TIME = "time"  # a shell's next command after the one announcement that waits
    LINE = "line"  # the line of one that goes on started this too
    UNDECLARED = "undeclared"  # nobody spoke of it


@dataclass(slots=True, eq=False)
class Command:
    """Something that the agent had done outside any call. `call` is set once it is in one."""

    pid: int
    start: int
    line: str
    call: CallId | None = None
    span: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a process belongs: to a command, which may be in a call; else it is the agent's.

    `new`: the command is just that, and in no call. `typed`: a shell that reads commands started
    it. `line`: the command with which an announced line of that shell began, which goes on.
    """

    command: Command | None = None
    new: bool = False
    call: CallId | None = None
    typed: bool = False
    line: Command | None = None


@dataclass(slots=True)
class _Known:
    """A process. `seat` is the role of who started it, `role` its own, for those that it starts.

    `unread`: it was there before anybody looked, and what program it is was not read yet. `reader`
    is the shell that it is, or that started it.
    """

    seat: Role
    role: Role
    parent: int
    start: int
    command: Command | None = None
    span: str | None = None
    founder: bool = False
    unread: bool = False
    reader: Reader | None = None

    @property
    def root(self) -> bool:
        """Whether what others are follows from it: without it they would be from outside."""
        if self.command is not None:
            return False
        own = self.seat is Role.FIRST and self.role is Role.HARNESS
        return self.founder or own or self.role is Role.SHELL


@dataclass(slots=True)
class Lineage:
    """The processes of one agent, as far as they were seen.

    Who was neither seen nor had a child for the longest time is forgotten first, the harness and
    its shells after all others.
    """

    known: OrderedDict[int, _Known] = field(default_factory=OrderedDict)
    spans: OrderedDict[str, CallId] = field(default_factory=OrderedDict)

    def there(self, seen: Seen) -> None:
        """Take in a process, after its parent, that was there before anybody looked."""
        if seen.pid not in self.known:
            founder = seen.parent not in self.known
            mine = self._mine(seen)
            mine.founder, mine.unread = founder, True

    def found(self, seen: Seen) -> None:
        """Learn what program one of those is, after its parent, unless it was judged by now."""
        mine = self.known.get(seen.pid)
        if mine is None or not mine.unread or mine.start != seen.start:
            return
        parent = self.known.get(seen.parent)
        if parent is not None:
            mine.seat = mine.role = parent.role
            mine.command, mine.span = parent.command, parent.span
        self.executed(seen, lambda _: False)

    def forked(self, seen: Seen) -> None:
        """A process is until its exec what its parent is."""
        self.known.pop(seen.pid, None)
        if seen.parent in self.known:
            self._mine(seen)

    def exited(self, seen: Seen) -> None:
        """Forget it."""
        self.known.pop(seen.pid, None)

    def executed(self, seen: Seen, runs: Callable[[str], bool]) -> Verdict:
        """Judge a process that has just become a program; `runs` knows the session's calls."""
        started = shells.read(seen.words)
        mine = self._mine(seen)
        mine.unread = False
        if mine.command is not None:
            return Verdict(mine.command, call=mine.command.call)
        inherited, mine.span = mine.span, _span(seen)
        mine.role = _role(mine, started, from_outside=mine.parent not in self.known)
        if started.form is Form.PROMPT:
            mine.reader = Reader()
        if mine.role is not Role.COMMAND:
            return Verdict()
        # A span that the harness itself is in says nothing about this command.
        span = None if mine.span == inherited else mine.span
        mine.command = Command(seen.pid, seen.start, command_of(seen.words), span=span)
        mine.command.call = call = self._joined(seen, span, runs)
        typed = mine.seat is Role.SHELL
        line = mine.reader.line(runs) if mine.reader and typed and call is None else None
        return Verdict(mine.command, new=call is None, call=call, typed=typed, line=line)

    def began(self, command: Command, one: Announced) -> None:
        """An announced line began with this command of a shell; it may start more."""
        mine = self.known.get(command.pid)
        if mine is not None and mine.reader is not None:
            mine.reader.begin(command, one)

    def goes_on(self, pid: int, line: Command) -> None:
        """A new command is part of that line: it is in its call, or will be once that is made."""
        mine = self.known[pid]
        mine.command = line
        if mine.reader is not None:
            mine.reader.more()

    def succeeded(self, line: Command) -> bool:
        """The first of a line is gone; whether another of it has taken its place."""
        gone = self.known.get(line.pid)
        if gone is not None and gone.command is line:
            del self.known[line.pid]
        heirs = ((pid, k.start) for pid, k in self.known.items() if k.command is line)
        heir = next(heirs, None)
        if heir is not None:
            line.pid, line.start = heir
        return heir is not None

    def placed(self, command: Command, call: CallId) -> None:
        """A command is in a call now: so is what it starts, and what is in its span."""
        command.call = call
        if command.span is not None:
            self.spans[command.span] = call
            while len(self.spans) > _SPANS:
                self.spans.popitem(last=False)

    def of(self, call: CallId) -> list[tuple[int, int]]:
        """Pid and start, 0 if that is not known, of the processes of a call's commands."""
        known = self.known.items()
        return [(pid, k.start) for pid, k in known if k.command and k.command.call == call]

    def _mine(self, seen: Seen) -> _Known:
        mine = self.known.get(seen.pid)
        if mine is not None and (not mine.start or not seen.start or mine.start == seen.start):
            mine.start = mine.start or seen.start
            self.known.move_to_end(seen.pid)
            return mine
        parent = self.known.get(seen.parent)
        if parent is None:
            # It came in from outside. Or its fork was lost, and then it is better left alone too.
            mine = _Known(Role.FIRST, Role.FIRST, seen.parent, seen.start)
        else:
            self.known.move_to_end(seen.parent)
            seat, command, span = parent.role, parent.command, parent.span
            mine = _Known(seat, seat, seen.parent, seen.start, command, span)
            mine.reader = parent.reader
        self._add(seen.pid, mine)
        return mine

    def _joined(self, seen: Seen, span: str | None, runs: Callable[[str], bool]) -> CallId | None:
        """The call that a command says it is part of, or whose span of a trace it is in."""
        said = seen.env.get("AGENTCG_CALL")
        if said is not None and runs(said):
            return CallId(said)
        call = None if span is None else self.spans.get(span)
        return call if call is not None and runs(call) else None

    def _add(self, pid: int, known: _Known) -> None:
        self.known.pop(pid, None)
        if len(self.known) >= KNOWN:
            self._make_room()
        self.known[pid] = known

    def _make_room(self) -> None:
        for _ in range(_SPARED):
            pid, oldest = self.known.popitem(last=False)
            if not oldest.root:
                return
            self.known[pid] = oldest
        self.known.popitem(last=False)


def announced(
    seen: Seen, verdict: Verdict, waiting: Sequence[Announced], now: float
) -> tuple[str | None, Reason]:
    """The announced call that a new command is, if it is one, and why.

    `waiting` are those whose process has not come, the newest first.
    """
    mine = {seen.env[name] for name in _CONVERSATION if name in seen.env}
    ours = [one for one in waiting if not mine or one.told.session in mine]
    otherwise = Reason.UNDECLARED if verdict.line is None else Reason.LINE
    if not ours or verdict.command is None:
        return None, otherwise
    line = verdict.command.line
    wanted = looks(line)
    key = by_line(line, ((one.key, one.looks) for one in ours)) or next(
        (one.key for one in ours if one.looks and one.looks == wanted), None
    )
    if key is not None:
        return key, Reason.WORDS
    recent = [one for one in ours if now - one.at <= WITHIN]
    if verdict.typed and len(recent) == 1:
        return recent[0].key, Reason.TIME
    return None, otherwise


def _role(mine: _Known, started: Started, *, from_outside: bool) -> Role:
    """What a program makes of a process, given who started it."""
    match started.form:
        case Form.PROMPT:
            return Role.SHELL
        case Form.THROUGH | Form.OWN:
            return mine.seat
        case Form.LINE if shells.asks_us(started.line):
            # It asks for a call itself, and may run others beside.
            return Role.FIRST if mine.seat is Role.FIRST else Role.SHELL
        case Form.LINE | Form.SCRIPT if mine.seat is Role.FIRST:
            # `docker exec … sh -c LINE` is a command, as harnesses outside run them.
            docker = started.form is Form.LINE and from_outside and not mine.founder
            return Role.COMMAND if docker else Role.FIRST
        case _:
            return Role.HARNESS if mine.seat is Role.FIRST else Role.COMMAND


def command_of(words: Sequence[str]) -> str:
    """An argument vector as the line that a person would know it by."""
    started = shells.read(words)
    return started.line if started.form is Form.LINE else " ".join(words)


def _span(seen: Seen) -> str | None:
    said = seen.env.get("TRACEPARENT")
    return said if said is None or len(said) <= _LONG else None
