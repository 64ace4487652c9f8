"""A trace to look at: it grows by steps, has a burst, computes, is held up and killed."""

from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Trace

MIB = 1 << 20
AT = 1_780_000_000.0
NASTY = "\x1b]0;x\x07<script>\u202e"


def course(*, command: str = "pytest -q tests", limit: int | None = 2048 * MIB) -> Trace:
    """Sixty seconds, read ten times a second."""
    samples = []
    for n in range(600):
        seconds = n / 10
        memory = (100 + 250 * int(seconds // 10)) * MIB
        peak = 1900 * MIB if n == 305 else memory
        usage = Usage(memory, peak)
        if n % 10 == 0:
            cpu = min(seconds, 20) * 0.3 + max(0.0, seconds - 20) * 1.8
            usage = Usage(memory, peak, cpu, 0.0, 5, 3 * MIB, MIB, 2 * MIB, seconds / 20, 0.0)
        samples.append(Sample(AT + seconds, 77 + seconds, n % 10 == 0, usage))
    name, session = CallId("c-aaaa2222"), SessionId("s-home")
    grant = Grant(memory_limit=limit, memory_guarantee=512 * MIB)
    call = Call(name, session, Intent(command=command), grant, CallState.CLOSED, AT)
    told = [
        (0.0, Kind.CALL_DECLARED, "shell limit=2147483648"),
        (0.1, Kind.CALL_STARTED, "pid 77"),
        *((30 + n, Kind.CALL_THROTTLED, "the pool is tight") for n in range(5)),
        (52.0, Kind.CALL_OOM, NASTY),
        (59.9, Kind.CALL_ENDED, "killed at 2 GiB, its limit; ask for 4 GiB"),
        (60.0, Kind.CALL_CLOSED, "nothing left"),
    ]
    events = [
        Event(n, AT + when, kind, session, name, text) for n, (when, kind, text) in enumerate(told)
    ]
    return Trace(session, call, limit, 512 * MIB, tuple(samples), tuple(events), 600)
