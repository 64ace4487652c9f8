"""Words that a harness's model is given unasked: few, for every one of them costs context."""

from agentcg import units
from agentcg.model.caps import Caps
from agentcg.model.outcome import Cause, Outcome
from agentcg.policy.advice import held_back
from agentcg.settings import Calls

_SHOWN = 60


def brief(caps: Caps | None, calls: Calls) -> str:
    """What a call may use, and how to ask for more; nothing where no memory limit holds."""
    most = None if caps is None else caps.calls_memory
    default = most if calls.memory_limit is None else calls.memory_limit
    if default is None:
        return ""
    words = f"agentcg: each shell command may use {units.format_bytes_within(default)} of memory"
    if most is not None:
        words += f", all together {units.format_bytes_within(most)}"
    return (
        f"{words}. A command that needs other limits begins with an assignment such as "
        f"AGENT_RESOURCE_HINT=memory:2g,cores:2 (also pids, deadline, class:batch)."
    )


def worth_telling(result: Outcome) -> bool:
    """Whether a call's end says more about resources than its own output does."""
    if result.cause in {Cause.EXITED, Cause.SIGNALLED}:
        return held_back(result) or bool(result.oom_kills)
    return result.cause not in {Cause.UNKNOWN, Cause.NEVER_STARTED}


def earlier(command: str, advice: str) -> str:
    """The outcome of a call that went on in the background."""
    short = " ".join(command.split())
    shown = short if len(short) <= _SHOWN else short[: _SHOWN - 1] + "…"
    return f"agentcg: the earlier command `{shown}`: {advice}"
