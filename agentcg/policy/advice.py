"""Words for the model: two sentences, what happened in numbers, and what to do next.

What they propose can be had: a limit above what the session's calls may use would be cut, and the
model would ask for it again and again.
"""

import signal as signals
from dataclasses import dataclass

from agentcg import units
from agentcg.model.call import Call
from agentcg.model.outcome import Cause, Level, Outcome

# More of a limit than this is worth another try with it.
_WORTH = 1.1
_LONGEST = 7 * 86400.0  # of a deadline
_LESS = "Run less at once (fewer test files, fewer workers)"
_OPERATOR = "ask the operator to raise this session's memory limit"


@dataclass(frozen=True, slots=True)
class Most:
    """The highest limits that a call of the session may be granted; None means no bound."""

    memory: int | None = None
    pids: int | None = None


UNBOUNDED = Most()


def advise(call: Call, outcome: Outcome, most: Most, gpu: str = "") -> str:
    """Two sentences: what happened, in numbers as far as they are known, and what to do next."""
    match outcome.cause:
        case Cause.OOM | Cause.STALL:
            return _memory(outcome, most)
        case Cause.PRESSURE | Cause.GPU:
            return _for_others(outcome, gpu)
        case Cause.DEADLINE | Cause.REQUEST | Cause.ORPHANED:
            return _stopped(call, outcome)
        case Cause.EXITED | Cause.SIGNALLED | Cause.PIDS:
            return _ended(call, outcome, most)
        case Cause.NEVER_STARTED:
            return (
                "It was declared and never started, so its grant was taken back. "
                "Declare it again just before it starts."
            )
        case Cause.UNKNOWN:
            return (
                f"How it ended is not known: its exit status could not be read"
                f"{_figures(outcome)}. Its output tells whether to run it again."
            )


def _for_others(outcome: Outcome, gpu: str) -> str:
    if outcome.cause is Cause.GPU:
        return gpu
    return (
        f"Killed to make room: the memory that it shares with others was full, and it held "
        f"more than it was guaranteed{_size(', with a peak of', outcome.peak)}. "
        f"Try again later with less at once, or declare a guarantee."
    )


def _memory(outcome: Outcome, most: Most) -> str:
    if outcome.cause is Cause.STALL:
        return (
            f"Stopped after stalling at its memory limit{_used(outcome)}: nearly all its time "
            f"went into waiting for memory. {_less_or_more(outcome, most)}"
        )
    match outcome.level:
        case Level.CALL:
            return (
                f"Killed for memory: it reached its own limit{_size(' of', outcome.limit)}"
                f"{_size(' with a peak of', outcome.peak)}. {_less_or_more(outcome, most)}"
            )
        case Level.CALLS:
            return (
                f"Killed for memory: this session's calls together reached their cap"
                f"{_size(' of', outcome.level_limit)}{_used(outcome)}. "
                f"{_fewer_calls(outcome, most)}"
            )
        case Level.SESSION | Level.AGENT:
            return (
                f"Killed for memory: the whole session reached its limit"
                f"{_size(' of', outcome.level_limit)}{_used(outcome)}. "
                f"Run fewer calls side by side, or ask the operator to raise the session's limit."
            )
        case Level.HOST | None:
            return (
                f"Killed for memory: the host itself ran out{_used(outcome)}; no limit of this "
                f"session was reached. Try again later, or run less at once."
            )


def _fewer_calls(outcome: Outcome, most: Most) -> str:
    if outcome.peak and most.memory and outcome.peak * _WORTH > most.memory:
        # It took nearly all by itself: to run it alone would change nothing.
        return f"{_LESS}, or {_OPERATOR}."
    return "Run fewer calls side by side, or run this one alone."


def _less_or_more(outcome: Outcome, most: Most) -> str:
    more = _more(outcome, most)
    ask = f"ask for {more}" if more is not None else f"{_OPERATOR}: {_at_most(most)}"
    return f"{_LESS}, or {ask}."


def _at_most(most: Most) -> str:
    return "" if most.memory is None else f"its calls may use {_within(most.memory)} at most"


def _more(outcome: Outcome, most: Most) -> str | None:
    """A higher memory limit that would be granted; None where there is none to speak of."""
    known = outcome.limit or outcome.peak
    if not known:
        return "a higher limit" if most.memory is None else f"a limit of {_within(most.memory)}"
    if most.memory is None:
        return f"a limit of {units.format_bytes(2 * known)}"
    if most.memory < _WORTH * known:
        return None
    return f"a limit of {_within(min(2 * known, most.memory))}"


def _within(size: int) -> str:
    return units.format_bytes_within(size)


def _stopped(call: Call, outcome: Outcome) -> str:
    if outcome.cause is Cause.REQUEST:
        return (
            f"Killed on request{_time(' after', outcome.wall)}. "
            f"Nothing is left of it: declare a new call to run it again."
        )
    if outcome.cause is Cause.ORPHANED:
        return (
            f"Killed because nobody waited for it any more: its docker exec was ended"
            f"{_time(' after', outcome.wall)}. Give it more time, or split the work into "
            f"shorter calls."
        )
    deadline = call.grant.deadline
    longer = deadline is None or 2 * deadline <= _LONGEST
    ask = f", or ask for a deadline{_time(' of', deadline and 2 * deadline)}" if longer else ""
    return (
        f"Killed at its deadline{_time(' of', deadline)}"
        f"{_time(' with a CPU time of', outcome.cpu)}. Split the work into shorter calls{ask}."
    )


def _ended(call: Call, outcome: Outcome, most: Most) -> str:
    if outcome.cause is Cause.PIDS:
        return _pids(call, most)
    return _signalled(outcome) if outcome.cause is Cause.SIGNALLED else _exited(outcome, most)


def _pids(call: Call, most: Most) -> str:
    bound = call.grant.pids
    words = (
        f"It hit its limit{'' if bound is None else f' of {bound}'} for processes and threads "
        f"and failed. Start fewer workers at once"
    )
    if bound is None:
        return f"{words}, or ask for more pids."
    if most.pids is not None and most.pids < _WORTH * bound:
        return f"{words}, or ask the operator to raise the session's pids budget of {most.pids}."
    more = 2 * bound if most.pids is None else min(2 * bound, most.pids)
    return f"{words}, or ask for {more} pids."


def _signalled(outcome: Outcome) -> str:
    if outcome.signal == signals.SIGKILL and outcome.oom_kills is None:
        return (
            f"Ended by SIGKILL{_figures(outcome)}. This host does not tell whether memory was "
            f"the cause: look in its own output, and run less at once if there is none."
        )
    return (
        f"Ended by {_signal(outcome.signal)}, not by a resource limit{_figures(outcome)}. "
        f"Look for the cause in its own output."
    )


def held_back(outcome: Outcome) -> bool:
    """Whether a call that ended by itself was close to a limit, or was slowed down by one."""
    close = bool(outcome.peak and outcome.limit and outcome.peak > 0.9 * outcome.limit)
    slow = max(outcome.throttled or 0, outcome.held or 0)
    return close or bool(outcome.wall and slow > 0.25 * outcome.wall)


def _exited(outcome: Outcome, most: Most) -> str:
    words = (
        f"Ended with exit code {outcome.exit_code}{_time(' after', outcome.wall)}"
        f"{_size(', peak', outcome.peak)}."
    )
    if outcome.peak and outcome.limit and outcome.peak > 0.9 * outcome.limit:
        more = _more(outcome, most)
        close = f"{words} It came close to its limit of {units.format_bytes(outcome.limit)}"
        if more is not None:
            return f"{close}: ask for {more} next time."
        return f"{close}: run less at once next time, or {_OPERATOR}."
    if outcome.throttled and outcome.wall and outcome.throttled > 0.25 * outcome.wall:
        held = units.format_duration(outcome.throttled)
        return f"{words} CPU limits held it back for {held}: run fewer workers at once."
    if outcome.held and outcome.wall and outcome.held > 0.25 * outcome.wall:
        return (
            f"{words} Memory was short and its growth was held up for "
            f"{units.format_duration(outcome.held)}: declare a guarantee, or use less."
        )
    if outcome.exit_code:
        return f"{words} No limit held it back: look for the cause in its own output."
    return f"{words} No limit held it back."


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
