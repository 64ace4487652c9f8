"""opencode: what our plugin in its process (`opencode.ts`) tells, and the words it appends."""

from typing import Any

from agentcg.harness import told
from agentcg.harness.told import Doc, Moment, Told

_MOMENTS = {"tool.execute.before": Moment.BEFORE, "tool.execute.after": Moment.AFTER}
HEARS = frozenset({Moment.BEFORE, Moment.AFTER})


def read(doc: Doc) -> Told:
    """Understand the JSON of one hook."""
    event, tool = told.text(doc, "hook_event_name"), told.text(doc, "tool_name")
    return Told(
        moment=_MOMENTS.get(event, Moment.OTHER),
        event=event,
        session=told.text(doc, "session_id"),
        tool=tool,
        command=told.command(told.inner(doc, "tool_input")) if tool == "bash" else None,
        key=told.key(doc, "tool_use_id"),
    )


def say(_: Told, words: str) -> dict[str, Any]:
    """Words for the plugin to append to the tool's output."""
    return {"text": words}
