"""Anything told to the outside, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What happened. The value is the SSE event name, so it never changes."""

    SESSION_OPENED = "session.opened"
    SESSION_CLOSED = "session.closed"
    CALL_DECLARED = "call.declared"
    CALL_STARTED = "call.started"
    CALL_FROZEN = "call.frozen"
    CALL_THAWED = "call.thawed"
    CALL_CHANGED = "call.changed"
    CALL_STALLED = "call.stalled"
    CALL_THROTTLED = "call.throttled"
    CALL_OOM = "call.oom"
    CALL_ENDED = "call.ended"
    CALL_LINGERING = "call.lingering"
    CALL_CLOSED = "call.closed"
    PRESSURE = "pressure"
    POOL_FULL = "pool.full"
    AGENT_THROTTLED = "agent.throttled"
    AGENT_OOM = "agent.oom"
    FAIL_OPEN = "agent.unmanaged"
    GPU_QUEUED = "gpu.queued"
    GPU_GRANTED = "gpu.granted"
    GPU_DENIED = "gpu.denied"
    GPU_PRESSURE = "gpu.pressure"
    GPU_REVOKE = "gpu.revoke"
    GPU_ENDED = "gpu.ended"
    GPU_ENGINE = "gpu.engine"
    UNDECLARED = "agent.undeclared"
    DAEMON = "daemon"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class About:
    """What a kind of event means, and the members of its `data`."""

    means: str
    data: Mapping[str, str] = field(default_factory=dict)


_THROTTLED = {
    "memory": "what it uses, bytes",
    "room": "what the pool has left for it, bytes",
    "delay": "how long this batch of 256 KiB waits at most, seconds",
}
_OOM = {
    "oom_kill": "processes that the OOM killer took from it so far",
    "peak": "the most memory that it used, bytes",
}
_LEASE = {
    "lease": "its id",
    "gpu": "the device's UUID, or null",
    "bytes": "what it has, bytes",
    "guard": "what holds it to them",
}
ABOUT: Mapping[Kind, About] = {
    Kind.SESSION_OPENED: About("A session was opened."),
    Kind.SESSION_CLOSED: About("A session was closed."),
    Kind.CALL_DECLARED: About("A call was granted and has its cgroup."),
    Kind.CALL_STARTED: About("The call's main process is in its cgroup."),
    Kind.CALL_FROZEN: About("Every process of the call stands still."),
    Kind.CALL_THAWED: About("The call goes on."),
    Kind.CALL_CHANGED: About("The call's limits were changed."),
    Kind.CALL_STALLED: About(
        "The call makes almost no progress at its memory limit; killed if that lasts 30 s.",
        {
            "pressure": "percent of the last 10 s in which all of it waited for memory",
            "memory": "what it uses, bytes",
            "limit": "its memory limit, bytes",
        },
    ),
    Kind.CALL_THROTTLED: About(
        "The call's memory growth is held up: the pool is tight. By BPF (tier T1) told at most "
        "once a second, with `room` and `delay`; by memory.high when it begins, with `high`.",
        {**_THROTTLED, "high": "memory.high of its session's calls, bytes"},
    ),
    Kind.AGENT_THROTTLED: About(
        "Work that was not declared is held up by BPF (tier T1); told at most once a second.",
        _THROTTLED,
    ),
    Kind.POOL_FULL: About(
        "The pool has no room for longer than a batch may wait, and the call has to give memory "
        "back or is killed; `text` says which and why."
    ),
    Kind.CALL_OOM: About("The OOM killer took processes of the call.", _OOM),
    Kind.CALL_ENDED: About(
        "The call's main process is over; `text` is the advice.",
        {
            "cause": "why it ended",
            "exit_code": "its exit code, or null",
            "signal": "the signal that ended it, or null",
            "peak": "the most memory that it used, bytes",
            "level": "whose memory limit an OOM kill hit, or null",
        },
    ),
    Kind.CALL_LINGERING: About("The main process is over, others of the call go on."),
    Kind.CALL_CLOSED: About("The call's cgroup is gone; its record stays readable."),
    Kind.PRESSURE: About(
        "Tasks of the session's calls (without a session: of the pool) waited for memory for "
        "200 ms of 2 s.",
        {"memory": "what they use, bytes"},
    ),
    Kind.AGENT_OOM: About("Undeclared work in the agent's cgroup was killed for memory.", _OOM),
    Kind.FAIL_OPEN: About("A command of the session runs without a call; `text` says why."),
    Kind.GPU_QUEUED: About(
        "The call waits for GPU memory; `text` says for what.",
        {"lease": "its id", "asked": "bytes", "eta": "about how long, seconds, or null"},
    ),
    Kind.GPU_GRANTED: About("The call has GPU memory, or has other than before.", _LEASE),
    Kind.GPU_DENIED: About(
        "The call gets no GPU memory; `text` says why and what to do.",
        {"lease": "its id", "asked": "bytes"},
    ),
    Kind.GPU_PRESSURE: About(
        "The call uses, or is about to use, more GPU memory than its lease has; `text` says what "
        "is done about it.",
        {"lease": "its id", "bytes": "what it has", "used": "what it uses, bytes, or null"},
    ),
    Kind.GPU_REVOKE: About(
        "The call's lease ends within `grace`: give the memory back by then.",
        {"lease": "its id", "bytes": "what it has", "grace": "seconds"},
    ),
    Kind.GPU_ENDED: About(
        "The call's lease is over, and its memory was seen free; `text` says why it ended.", _LEASE
    ),
    Kind.GPU_ENGINE: About(
        "The inference engine was asked for another KV cache, or does not answer; `text` says.",
        {"limit": "what its KV cache may take, bytes", "was": "what it might before, bytes"},
    ),
    Kind.UNDECLARED: About(
        "The observer saw the agent start a command outside any call; `text` is what is kept of "
        "it. At most `observer.places` a second of one session are told.",
        {
            "pid": "its number on the host",
            "reason": "what it is taken for a command by: words, time, or undeclared",
            "call_id": "the announced call that it is taken for, or null",
            "untold": "how many before it were not told",
        },
    ),
    Kind.DAEMON: About("Something about the daemon itself, or what it could not do; in `text`."),
    Kind.LOST: About(
        "This reader was too slow, or asked for what is forgotten.", {"lost": "events missed"}
    ),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `seq` rises by one; a reader that sees a gap has lost events and is told so."""

    seq: int
    at: float
    kind: Kind
    session: str | None = None
    call: str | None = None
    text: str = ""
    data: Mapping[str, str | int | float | None] = field(default_factory=dict)
