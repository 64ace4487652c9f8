"""A call in sentences: what was granted, what of it the host enforces, and how it ended."""

from collections.abc import Iterator

from agentcg.cli.render import size, span
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.grant import holds
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.view import CallView

_CAUSE = {
    Cause.EXITED: "It ended by itself",
    Cause.SIGNALLED: "A signal ended it",
    Cause.OOM: "It was killed for want of memory",
    Cause.PIDS: "It failed at its limit of processes",
    Cause.DEADLINE: "It was killed at its deadline",
    Cause.GPU: "It was killed for GPU memory beyond its lease",
    Cause.STALL: "It was killed because it stalled for memory",
    Cause.REQUEST: "It was killed on request",
    Cause.ORPHANED: "It was killed because the docker exec that ran it had died",
    Cause.NEVER_STARTED: "It was declared and never started, so its grant lapsed",
    Cause.UNKNOWN: "It ended, and how is not known",
}
_LEVEL = {
    Level.CALL: "its own limit",
    Level.CALLS: "the limit of all calls of its session",
    Level.AGENT: "the limit of the agent's own processes",
    Level.SESSION: "the limit of its session",
    Level.HOST: "no limit of ours: the host itself was out of memory",
}


def sentences(view: CallView) -> Iterator[str]:
    """Tell all that is known of a call, line by line."""
    call = view.call
    what = call.intent.command or call.intent.tool
    yield f"{call.id} in {call.session}: {what}"
    if call.outcome is not None:
        yield from _outcome(call.outcome)
    elif call.state in ALIVE:
        yield f"It is {call.state.value}, {_usage(view)}."
    elif call.state is CallState.DECLARED:
        yield "It is declared and has not started."
    else:
        yield f"It is {call.state.value}."
    yield from _grant(call)


def _usage(view: CallView) -> str:
    usage = view.usage
    return (
        f"using {size(usage.memory)} of memory (peak {size(usage.peak)}) "
        f"after {span(usage.cpu)} of CPU time"
    )


def _outcome(outcome: Outcome) -> Iterator[str]:
    yield _CAUSE.get(outcome.cause, f"It ended: {outcome.cause.value}") + _status(outcome) + "."
    if outcome.level is not None:
        limit = "" if outcome.level_limit is None else f" ({size(outcome.level_limit)})"
        yield f"The limit that was hit is {_LEVEL[outcome.level]}{limit}."
    if outcome.level is not Level.CALL and outcome.limit is not None:
        yield f"Its memory limit was {size(outcome.limit)}."
    if outcome.peak is not None:
        yield f"Its memory peaked at {size(outcome.peak)}."
    if outcome.wall is not None:
        cpu = "" if outcome.cpu is None else f" and used {span(outcome.cpu)} of CPU time"
        yield f"It took {span(outcome.wall)}{cpu}."
    if outcome.held:
        yield f"Its memory growth was held up for {span(outcome.held)}."
    if outcome.throttled:
        yield f"Its CPU limit held it back for {span(outcome.throttled)}."
    if outcome.oom_kills:
        yield f"The kernel killed {outcome.oom_kills} of its processes."
    if outcome.left_behind:
        yield f"It left {outcome.left_behind} processes behind."
    if outcome.advice:
        yield f"Advice: {outcome.advice}"


def _status(outcome: Outcome) -> str:
    if outcome.signal is not None:
        return f", signal {outcome.signal}"
    return "" if outcome.exit_code is None else f", exit code {outcome.exit_code}"


def _grant(call: Call) -> Iterator[str]:
    grant = call.grant
    limit = "none" if grant.memory_limit is None else size(grant.memory_limit)
    pids = "none" if grant.pids is None else str(grant.pids)
    deadline = "none" if grant.deadline is None else span(grant.deadline)
    yield f"Granted: memory guarantee {size(grant.memory_guarantee)}, limit {limit};"
    yield f"  CPU class {grant.cpu_class.value}, weight {grant.cpu_weight};"
    yield f"  process limit {pids}; deadline {deadline}; priority {grant.priority}."
    for note in grant.notes:
        yield f"Note: {note}"
    for knob, source in sorted(grant.source.items()):
        yield f"Not declared: {knob}, {source}"
    held = sorted((knob, how) for knob, how in grant.enforced.items() if holds(how))
    if held:
        words = (f"{knob}{_by(how)}" for knob, how in held)
        yield f"Enforced: {', '.join(words)}."
    for knob, how in sorted(grant.enforced.items()):
        if not holds(how):
            yield f"Not enforced: {knob}, {how}"


def _by(how: str) -> str:
    """The mechanism, where one is named."""
    mechanism = how.partition(": ")[2]
    return f" ({mechanism})" if mechanism else ""
