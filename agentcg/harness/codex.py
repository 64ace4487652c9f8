"""OpenAI Codex CLI: nearly Claude Code's contract; commands may come as a list of words.

`updatedInput` counts only together with "allow", so it is not used.
"""

from typing import Any

from agentcg.harness import told
from agentcg.harness.told import Doc, Moment, Told

_MOMENTS = {
    "PreToolUse": Moment.BEFORE,
    "PostToolUse": Moment.AFTER,
    "SessionStart": Moment.SESSION_START,
}
_SHELLS = frozenset({"Bash", "shell", "local_shell", "exec_command"})
HEARS = frozenset({Moment.BEFORE, Moment.AFTER, Moment.SESSION_START})


def read(doc: Doc) -> Told:
    """Understand the JSON of one hook."""
    event, tool = told.text(doc, "hook_event_name"), told.text(doc, "tool_name")
    return Told(
        moment=_MOMENTS.get(event, Moment.OTHER),
        event=event,
        session=told.text(doc, "session_id"),
        tool=tool,
        command=told.command(told.inner(doc, "tool_input")) if tool in _SHELLS else None,
        key=told.key(doc, "tool_use_id"),
    )


def say(event: Told, words: str) -> dict[str, Any]:
    """Words for the model, as this event carries them."""
    return {"hookSpecificOutput": {"hookEventName": event.event, "additionalContext": words}}
