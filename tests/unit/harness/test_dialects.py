"""Documented stdin in, neutral event and exact stdout out, for each harness."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.harness.dialects import DIALECTS, speak, understand
from agentcg.harness.told import Moment, Told
from tests.unit.harness.documented import AFTER, BASE, CLAUDE, CODEX, GEMINI, OPENHANDS

Json = dict[str, Any]


def read(harness: str, doc: Json, *, digest: bool = False) -> Told:
    found = understand(DIALECTS[harness], json.dumps(doc).encode())
    assert found is not None
    return found if digest else replace(found, digest="")


@pytest.mark.parametrize(
    ("harness", "told"),
    [
        (
            "claude-code",
            Told(
                Moment.BEFORE,
                "PreToolUse",
                "0b8d-1",
                "Bash",
                "make test",
                "toolu_01ABC",
                background=True,
            ),
        ),
        ("codex", Told(Moment.BEFORE, "PreToolUse", "s", "Bash", "make test", "call_9")),
        ("gemini", Told(Moment.BEFORE, "BeforeTool", "s", "run_shell_command", "make test")),
        (
            "opencode",
            Told(Moment.BEFORE, "tool.execute.before", "ses_1", "bash", "make test", "call_0"),
        ),
        ("openhands", Told(Moment.BEFORE, "PreToolUse", "s", "terminal", "make test")),
        (
            "swe-agent",
            Told(Moment.BEFORE, "on_action_started", "ses_1", "bash", "make test", "call_0"),
        ),
    ],
)
def test_what_is_documented_is_understood_and_what_is_unknown_does_no_harm(
    harness: str, told: Told
) -> None:
    assert read(harness, BASE[harness]) == told
    assert read(harness, {**BASE[harness], "of_tomorrow": {"a": [None]}}) == told


@pytest.mark.parametrize("case", AFTER)
def test_a_call_that_is_over_is_the_one_that_was_announced(case: str) -> None:
    harness = case.partition(",")[0]
    event, more = AFTER[case]
    name = "event_type" if harness == "openhands" else "hook_event_name"
    before = read(harness, BASE[harness], digest=True)
    after = read(harness, {**BASE[harness], name: event, **more, "of_tomorrow": 1}, digest=True)
    interrupted = more.get("is_interrupt", False)
    assert after == replace(before, moment=Moment.AFTER, event=event, interrupted=interrupted)


@pytest.mark.parametrize(
    ("harness", "event", "moment", "said"),
    [
        ("claude-code", "PreToolUse", "before", True),
        ("claude-code", "PostToolUse", "after", True),
        ("claude-code", "PostToolUseFailure", "after", True),
        ("claude-code", "SessionStart", "session-start", True),
        ("claude-code", "SessionEnd", "session-end", False),
        ("claude-code", "PostToolBatch", "other", False),
        ("codex", "PreToolUse", "before", True),
        ("codex", "PostToolUse", "after", True),
        ("codex", "SessionStart", "session-start", True),
        ("codex", "Stop", "other", False),
    ],
)
def test_words_go_by_the_channel_that_the_event_has(
    harness: str, event: str, moment: str, said: bool
) -> None:
    told = read(harness, {**BASE[harness], "hook_event_name": event})
    assert told.moment.value == moment
    out = (
        b'{"hookSpecificOutput": {"hookEventName": "%s", "additionalContext": "w \\"\\u00e4\\""}}'
        % event.encode()
    )
    assert speak(DIALECTS[harness], told, 'w "ä"') == (out if said else b"")
    assert speak(DIALECTS[harness], told, "") == b""


@pytest.mark.parametrize(
    ("event", "moment", "said"),
    [
        ("BeforeTool", "before", False),
        ("AfterTool", "after", True),
        ("SessionStart", "session-start", True),
        ("SessionEnd", "session-end", False),
        ("BeforeModel", "other", False),
    ],
)
def test_gemini_hears_after_tools_and_at_the_start(event: str, moment: str, said: bool) -> None:
    told = read("gemini", {**GEMINI, "hook_event_name": event})
    assert told.moment.value == moment
    out = b'{"hookSpecificOutput": {"additionalContext": "w"}}'
    assert speak(DIALECTS["gemini"], told, "w") == (out if said else b"")


@pytest.mark.parametrize(
    ("event", "moment", "said"),
    [
        ("PreToolUse", "before", False),
        ("PostToolUse", "after", False),
        ("UserPromptSubmit", "prompt", True),
        ("SessionEnd", "session-end", False),
        ("Stop", "other", False),
    ],
)
def test_openhands_hears_at_the_next_prompt(event: str, moment: str, said: bool) -> None:
    told = read("openhands", {**OPENHANDS, "event_type": event})
    assert told.moment.value == moment
    out = b'{"additionalContext": "w"}' if said else b""
    assert speak(DIALECTS["openhands"], told, "w") == out


@pytest.mark.parametrize(
    ("harness", "event", "moment", "said"),
    [
        ("opencode", "tool.execute.before", "before", True),
        ("opencode", "tool.execute.after", "after", True),
        ("opencode", "session.idle", "other", False),
        ("swe-agent", "on_action_started", "before", True),
        ("swe-agent", "on_action_executed", "after", True),
        ("swe-agent", "on_run_done", "session-end", False),
    ],
)
def test_adapters_are_answered_in_words(harness: str, event: str, moment: str, said: bool) -> None:
    told = read(harness, {**BASE[harness], "hook_event_name": event})
    assert told.moment.value == moment
    assert speak(DIALECTS[harness], told, "w") == (b'{"text": "w"}' if said else b"")


@pytest.mark.parametrize("harness", BASE)
def test_tools_without_a_shell_have_no_command(harness: str) -> None:
    told = read(harness, {**BASE[harness], "tool_name": "Write"})
    assert (told.tool, told.command) == ("Write", None)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["/bin/bash", "-lc", "make test"], "make test"),
        (["sh", "-c", "x"], "x"),
        (["make", "test"], "make test"),
        ([], None),
        ([1], None),
        ("", None),
        ({}, None),
    ],
)
def test_codex_may_send_words(words: object, command: str | None) -> None:
    assert read("codex", {**CODEX, "tool_input": {"command": words}}).command == command


@pytest.mark.parametrize("harness", ["gemini", "openhands"])
def test_without_an_id_a_call_is_known_by_its_looks(harness: str) -> None:
    name = "hook_event_name" if harness == "gemini" else "event_type"
    after = "AfterTool" if harness == "gemini" else "PostToolUse"
    before = read(harness, BASE[harness], digest=True)
    doc = {**BASE[harness], name: after, "tool_response": {"llmContent": "x"}, "timestamp": "y"}
    assert read(harness, doc, digest=True).digest == before.digest
    other = {**doc, "tool_input": {"command": "make"}}
    assert read(harness, other, digest=True).digest != before.digest


@pytest.mark.parametrize("harness", BASE)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\0\xff\xfe",
        b"[]",
        b'"x"',
        b"null",
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'{"a":' + b"[" * 100_000,
        b'{"tool_input":' + b'{"a":' * 900 + b"1" + b"}" * 900,
        '{"ü'.encode("utf-16"),
    ],
)
def test_what_is_no_object_is_not_understood(harness: str, body: bytes) -> None:
    assert understand(DIALECTS[harness], body) is None


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(BASE)), st.data())
def test_no_field_of_any_type_does_harm(harness: str, data: st.DataObject) -> None:
    names = sorted(BASE[harness])
    doc = {**BASE[harness], **data.draw(st.dictionaries(st.sampled_from(names), WILD))}
    if isinstance(doc.get("tool_input"), dict):
        doc["tool_input"] = {**doc["tool_input"], "command": data.draw(WILD)}
    told = read(harness, doc, digest=True)
    for value in (told.event, told.session, told.tool):
        assert len(value) <= 128
    assert len(told.command or "") <= 32768
    assert told.key is None or 1 <= len(told.key) <= 128
    # All of it can be written to the journal and told as JSON.
    "".join([told.event, told.session, told.tool, told.command or ""]).encode()
    json.loads(speak(DIALECTS[harness], told, "w") or b"null")


def test_a_key_that_could_not_be_written_is_none() -> None:
    for key in ("", "x" * 129, "a b", "ä", "\n", 5, None, "\ud800"):
        assert read("claude-code", {**CLAUDE, "tool_use_id": key}).key is None


def test_words_of_any_length_stay_within_what_a_harness_takes() -> None:
    told = read("claude-code", CLAUDE)
    assert len(speak(DIALECTS["claude-code"], told, "w" * 50_000)) < 10_000
