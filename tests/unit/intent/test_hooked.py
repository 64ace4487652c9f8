"""Intents of announced calls: from the command, its environment, and the configuration's rules."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError
from agentcg.intent.hooked import first_rule, hooked, inline_hint
from agentcg.model.intent import CpuClass, OnEnd
from agentcg.model.rule import CommandRule


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("AGENT_RESOURCE_HINT=memory:2g make", "memory:2g"),
        ("  A=b  AGENT_RESOURCE_HINT='memory:2g,cores:2' make", "memory:2g,cores:2"),
        ('export AGENT_RESOURCE_HINT="memory:2g"; make', "memory:2g"),
        ("AGENT_RESOURCE_HINT=memory:2g; make", "memory:2g"),
        ("AGENT_RESOURCE_HINT= make", ""),
        ("make AGENT_RESOURCE_HINT=memory:2g", None),
        ("echo 'AGENT_RESOURCE_HINT=memory:2g'", None),
        ("XAGENT_RESOURCE_HINT=memory:2g make", None),
        ('AGENT_RESOURCE_HINT="$X" make', None),
        ("", None),
    ],
)
def test_a_hint_is_an_assignment_before_the_command(command: str, hint: str | None) -> None:
    assert inline_hint(command) == hint


@given(st.text(), st.text())
def test_no_command_breaks_it(before: str, after: str) -> None:
    inline_hint(before + "AGENT_RESOURCE_HINT=" + after)


@pytest.mark.parametrize("text", ["A=b " * 1000, "A" * 4096, " " * 4096, "A=" * 2000])
def test_no_command_takes_long(text: str) -> None:
    begun = time.monotonic()
    inline_hint(text)
    first_rule([CommandRule(command="*a*" * 20)], text)
    assert time.monotonic() - begun < 5


def test_the_first_rule_that_matches_the_whole_line_counts() -> None:
    rules = [
        CommandRule(command="make *"),
        CommandRule(command="*pytest*"),
        CommandRule(command="*"),
    ]
    assert first_rule(rules, "cd x && pytest -q\ntrue") is rules[1]
    assert first_rule(rules, "make test") is rules[0]
    assert first_rule(rules, "Make test") is rules[2]
    assert first_rule(rules[:2], "makes") is None


RULE = CommandRule.model_validate(
    {
        "command": "*",
        "memory": {"guarantee": "256MiB", "limit": "4GiB"},
        "cpu": {"class": "batch"},
        "deadline": "10m",
        "on_end": "kill",
    }
)


def test_what_is_said_nearer_to_the_command_wins() -> None:
    made = hooked("make", "Bash", "k", RULE, ["memory:1g,pids:50", "memory:2g"])
    assert (made.tool, made.command, made.key) == ("Bash", "make", "k")
    assert (made.memory.guarantee, made.memory.limit) == (256 << 20, 2 << 30)
    assert (made.cpu.cpu_class, made.pids, made.deadline) == (CpuClass.BATCH, 50, 600.0)
    assert made.on_end is OnEnd.KILL


def test_without_any_of_it_what_outlives_the_call_is_kept() -> None:
    made = hooked("make &", "", "k", None, [None, None])
    assert (made.tool, made.on_end, made.memory.limit) == ("shell", OnEnd.KEEP, None)


def test_a_hint_does_not_change_the_rule() -> None:
    hooked("x", "Bash", "k", RULE, ["memory:2g"])
    assert RULE.memory.limit == 4 << 30


@pytest.mark.parametrize("hint", ["memory:lots", "x:1", "memory"])
def test_a_hint_that_does_not_parse_is_named(hint: str) -> None:
    with pytest.raises(BadValueError, match="AGENT_RESOURCE_HINT"):
        hooked("x", "Bash", "k", None, [hint])
