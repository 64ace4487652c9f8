"""From evidence to an outcome: the cause, the level whose limit it was, and words for the model.

OOM truth is `memory.events.local`, never exit code 137: a call lost processes if its own
`oom_kill` rose, and whose limit it was is the level whose own `oom` rose with it.
"""

import signal as signals
from dataclasses import dataclass, replace

from agentcg import units
from agentcg.model.call import Call
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.sample import Counters


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read when a call ended.

    `status` is the wait status of its main process, `killed_for` why we killed it, if we did,
    `calls_oom` and `session_oom` how far those levels' own `oom` counters rose while it ran.
    """

    usage: Counters
    status: int | None = None
    killed_for: Cause | None = None
    calls_oom: int = 0
    session_oom: int = 0
    ended_at: float = 0.0


def conclude(call: Call, evidence: Evidence) -> Outcome:
    """Write the outcome of a call."""
    usage = evidence.usage
    code, signal = _split(evidence.status)
    oom_kills = usage.oom_kill
    level = _level(evidence) if oom_kills else None
    cause = _cause(call, evidence, code, signal)
    wall = None if call.started_at is None else max(0.0, evidence.ended_at - call.started_at)
    outcome = Outcome(
        cause=cause,
        exit_code=code,
        signal=signal,
        wall=wall,
        cpu=usage.cpu,
        peak=usage.peak,
        throttled=usage.throttled,
        oom_kills=oom_kills,
        level=level,
        limit=call.grant.memory_limit,
    )
    return replace(outcome, advice=_advice(call, outcome))


def _split(status: int | None) -> tuple[int | None, int | None]:
    if status is None:
        return None, None
    if status & 0x7F:
        return None, status & 0x7F
    return (status >> 8) & 0xFF, None


def _level(evidence: Evidence) -> Level:
    if evidence.usage.oom:
        return Level.CALL
    if evidence.calls_oom > 0:
        return Level.CALLS
    if evidence.session_oom > 0:
        return Level.SESSION
    return Level.HOST


def _cause(call: Call, evidence: Evidence, code: int | None, signal: int | None) -> Cause:
    if evidence.usage.oom_kill:
        return Cause.OOM
    # A command that ended by itself just before the kill came was not killed.
    if evidence.killed_for is not None and code is None:
        return evidence.killed_for
    if evidence.usage.pids_max_hits and code not in (0, None):
        return Cause.PIDS
    if signal is not None:
        return Cause.SIGNALLED
    if code is not None:
        return Cause.EXITED
    return Cause.UNKNOWN if call.started_at is not None else Cause.NEVER_STARTED


def _advice(call: Call, outcome: Outcome) -> str:
    """Two sentences: what happened, in numbers as far as they are known, and what to do next."""
    match outcome.cause:
        case Cause.OOM:
            return _oom_advice(call, outcome)
        case Cause.STALL | Cause.DEADLINE | Cause.REQUEST:
            return _stopped_advice(call, outcome)
        case Cause.EXITED | Cause.SIGNALLED | Cause.PIDS:
            return _ended_advice(call, outcome)
        case Cause.NEVER_STARTED:
            return "It was declared and never started, so its grant was taken back. Declare again."
        case Cause.UNKNOWN:
            return (
                f"How it ended is not known: its exit status could not be read"
                f"{_figures(outcome)}. Its output tells whether to run it again."
            )


def _oom_advice(call: Call, outcome: Outcome) -> str:
    match outcome.level:
        case Level.CALL:
            return (
                f"Killed for memory: it reached its own limit{_size(' of', outcome.limit)}"
                f"{_size(' with a peak of', outcome.peak)}. Run less at once (fewer test files, "
                f"fewer workers), or ask for {_more(call, outcome)}."
            )
        case Level.CALLS:
            return (
                f"Killed for memory: this session's calls together reached their cap"
                f"{_used(outcome)}. Run fewer calls side by side, or run this one alone."
            )
        case Level.SESSION | Level.AGENT:
            return (
                f"Killed for memory: the whole session reached its limit{_used(outcome)}. "
                f"Run fewer calls side by side, or give the session more memory."
            )
        case Level.HOST | None:
            return (
                f"Killed for memory: the host itself ran out{_used(outcome)}; no limit of this "
                f"session was reached. Try again later, or run less at once."
            )


def _stopped_advice(call: Call, outcome: Outcome) -> str:
    if outcome.cause is Cause.STALL:
        return (
            f"Stopped after stalling at its memory limit{_used(outcome)}: nearly all its time "
            f"went into waiting for memory. Run less at once, or ask for {_more(call, outcome)}."
        )
    if outcome.cause is Cause.DEADLINE:
        return (
            f"Killed at its deadline{_time(' of', call.grant.deadline)}"
            f"{_time(' with a CPU time of', outcome.cpu)}. "
            f"Split the work, or ask for a longer deadline."
        )
    return (
        f"Killed on request{_time(' after', outcome.wall)}. "
        f"Nothing is left of it: declare a new call to run it again."
    )


def _ended_advice(call: Call, outcome: Outcome) -> str:
    if outcome.cause is Cause.EXITED:
        return _exit_advice(call, outcome)
    if outcome.cause is Cause.PIDS:
        bound = "" if call.grant.pids is None else f" of {call.grant.pids}"
        return (
            f"It hit its limit{bound} for processes and threads and failed. "
            f"Start fewer workers at once, or ask for more pids."
        )
    if outcome.signal == signals.SIGKILL and outcome.oom_kills is None:
        return (
            f"Ended by SIGKILL{_figures(outcome)}. This host does not tell whether memory was "
            f"the cause: look in its own output, and run less at once if there is none."
        )
    return (
        f"Ended by {_signal(outcome.signal)}, not by a resource limit{_figures(outcome)}. "
        f"Look for the cause in its own output."
    )


def _exit_advice(call: Call, outcome: Outcome) -> str:
    words = (
        f"Ended with exit code {outcome.exit_code}{_time(' after', outcome.wall)}"
        f"{_size(', peak', outcome.peak)}."
    )
    if outcome.peak and outcome.limit and outcome.peak > 0.9 * outcome.limit:
        return (
            f"{words} It came close to its limit of {units.format_bytes(outcome.limit)}: "
            f"ask for {_more(call, outcome)} next time."
        )
    if outcome.throttled and outcome.wall and outcome.throttled > 0.25 * outcome.wall:
        held = units.format_duration(outcome.throttled)
        return f"{words} CPU limits held it back for {held}: ask for more cores."
    if outcome.exit_code:
        return f"{words} No limit held it back: look for the cause in its own output."
    return f"{words} No limit held it back."


def _more(call: Call, outcome: Outcome) -> str:
    asked, limit = call.intent.memory.limit, outcome.limit
    if asked is not None and limit is not None and limit < asked:
        # It asked for more already and was cut: to ask again would change nothing.
        return "more memory for the whole session"
    known = limit or outcome.peak
    return f"a limit of {units.format_bytes(2 * known)}" if known else "a higher limit"


def _used(outcome: Outcome) -> str:
    if outcome.peak is None:
        return ""
    return f"{_size(' while it used', outcome.peak)}{_size(' of its own', outcome.limit)}"


def _figures(outcome: Outcome) -> str:
    known = [_size("peak", outcome.peak), _size("limit", outcome.limit)]
    words = ", ".join(word for word in known if word)
    return f" ({words})" if words else ""


def _size(words: str, value: int | None) -> str:
    """The words with a size; nothing where the size is not known."""
    return "" if value is None else f"{words} {units.format_bytes(value)}"


def _time(words: str, value: float | None) -> str:
    """The words with a time; nothing where the time is not known."""
    return "" if value is None else f"{words} {units.format_duration(value)}"


def _signal(number: int | None) -> str:
    if number is None:
        return "a signal"
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
