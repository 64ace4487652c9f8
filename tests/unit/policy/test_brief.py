"""What the model is told unasked."""

from agentcg.model.caps import Caps
from agentcg.model.outcome import Cause, Outcome
from agentcg.policy.brief import brief, earlier, worth_telling
from agentcg.settings import Calls

MIB = 1 << 20


def test_a_call_that_ran_unhindered_is_not_worth_a_word() -> None:
    for cause in (Cause.EXITED, Cause.SIGNALLED, Cause.UNKNOWN, Cause.NEVER_STARTED):
        assert not worth_telling(Outcome(cause, exit_code=1, wall=1.0, peak=10, limit=100))


def test_a_limit_that_was_felt_is() -> None:
    for cause in (Cause.OOM, Cause.PIDS, Cause.DEADLINE, Cause.STALL, Cause.REQUEST):
        assert worth_telling(Outcome(cause))
    assert worth_telling(Outcome(Cause.EXITED, peak=95, limit=100))
    assert worth_telling(Outcome(Cause.EXITED, wall=1.0, throttled=0.5))
    assert worth_telling(Outcome(Cause.EXITED, wall=1.0, held=0.5))
    assert worth_telling(Outcome(Cause.EXITED, exit_code=1, oom_kills=1))


def test_the_brief_names_what_may_be_used() -> None:
    caps = Caps(64 * MIB, 900 * MIB, 300 * MIB, None, None)
    words = brief(caps, Calls())
    assert words.startswith("agentcg: each shell command may use 900 MiB of memory, all ")
    assert "AGENT_RESOURCE_HINT=" in words
    assert "may use 100 MiB of" in brief(caps, Calls(memory_limit=100 * MIB))
    assert brief(None, Calls()) == ""


def test_an_earlier_command_is_named_in_one_short_line() -> None:
    words = earlier("make\n  " + "x" * 500, "Killed.")
    assert words.startswith("agentcg: the earlier command `make xxx")
    assert words.endswith("x…`: Killed.")
    assert len(words) < 120
