"""Claude Code: hooks with a call id, and `additionalContext` for the model on every tool event.

Never a permission decision: "allow" would skip the person's own prompt. Never `updatedInput`: the
person's permission rules look at the command's text, and `cd` would no longer carry over. The
call's processes come by CLAUDE_CODE_SHELL_PREFIX instead (`acg-shell`), which wraps below both.
"""

from typing import Any

from agentcg.harness import told
from agentcg.harness.told import Doc, Moment, Told

_MOMENTS = {
    "PreToolUse": Moment.BEFORE,
    "PostToolUse": Moment.AFTER,
    "PostToolUseFailure": Moment.AFTER,
    "SessionStart": Moment.SESSION_START,
    "SessionEnd": Moment.SESSION_END,
}
HEARS = frozenset({Moment.BEFORE, Moment.AFTER, Moment.SESSION_START})


def read(doc: Doc) -> Told:
    """Understand the JSON of one hook."""
    event, tool = told.text(doc, "hook_event_name"), told.text(doc, "tool_name")
    given = told.inner(doc, "tool_input")
    return Told(
        moment=_MOMENTS.get(event, Moment.OTHER),
        event=event,
        session=told.text(doc, "session_id"),
        tool=tool,
        command=told.command(given) if tool == "Bash" else None,
        key=told.key(doc, "tool_use_id"),
        background=told.flag(given, "run_in_background"),
        interrupted=told.flag(doc, "is_interrupt"),
    )


def say(event: Told, words: str) -> dict[str, Any]:
    """Words for the model, as this event carries them."""
    return {"hookSpecificOutput": {"hookEventName": event.event, "additionalContext": words}}
