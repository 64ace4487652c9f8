"""OpenHands SDK: no call id, and what a hook says after a tool is logged, not shown to the model.

So words wait for the next prompt of the person, whose hook does reach the model.
"""

from typing import Any

from agentcg.harness import told
from agentcg.harness.told import Doc, Moment, Told

_MOMENTS = {
    "PreToolUse": Moment.BEFORE,
    "PostToolUse": Moment.AFTER,
    "SessionEnd": Moment.SESSION_END,
    "UserPromptSubmit": Moment.PROMPT,
}
_SHELLS = frozenset({"terminal", "execute_bash"})
HEARS = frozenset({Moment.PROMPT})


def read(doc: Doc) -> Told:
    """Understand the JSON of one hook."""
    event, tool = told.text(doc, "event_type"), told.text(doc, "tool_name")
    return Told(
        moment=_MOMENTS.get(event, Moment.OTHER),
        event=event,
        session=told.text(doc, "session_id"),
        tool=tool,
        command=told.command(told.inner(doc, "tool_input")) if tool in _SHELLS else None,
        digest=told.digest(doc, "session_id", "tool_name", "tool_input"),
    )


def say(_: Told, words: str) -> dict[str, Any]:
    """Words for the model."""
    return {"additionalContext": words}
