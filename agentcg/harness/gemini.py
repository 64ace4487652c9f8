"""Gemini CLI: no call id, so a call is known by its session, tool and arguments.

Words reach the model after a tool (appended to its result) and at the start of a session; before
a tool there is no place for them.
"""

from typing import Any

from agentcg.harness import told
from agentcg.harness.told import Doc, Moment, Told

_MOMENTS = {
    "BeforeTool": Moment.BEFORE,
    "AfterTool": Moment.AFTER,
    "SessionStart": Moment.SESSION_START,
    "SessionEnd": Moment.SESSION_END,
}
HEARS = frozenset({Moment.AFTER, Moment.SESSION_START})


def read(doc: Doc) -> Told:
    """Understand the JSON of one hook."""
    event, tool = told.text(doc, "hook_event_name"), told.text(doc, "tool_name")
    shell = tool == "run_shell_command"
    return Told(
        moment=_MOMENTS.get(event, Moment.OTHER),
        event=event,
        session=told.text(doc, "session_id"),
        tool=tool,
        command=told.command(told.inner(doc, "tool_input")) if shell else None,
        digest=told.digest(doc, "session_id", "tool_name", "tool_input"),
    )


def say(_: Told, words: str) -> dict[str, Any]:
    """Words for the model; anything but JSON on stdout would be shown as a fault."""
    return {"hookSpecificOutput": {"additionalContext": words}}
