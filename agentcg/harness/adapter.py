"""What adapters of ours tell from within a harness, and the words that they append.

opencode's plugin (`opencode.ts`), and the hook of SWE-agent (`integrations/swe_agent.py`).
"""

from typing import Any

from agentcg.harness import told
from agentcg.harness.told import Doc, Moment, Told

_MOMENTS = {
    "tool.execute.before": Moment.BEFORE,
    "tool.execute.after": Moment.AFTER,
    "on_action_started": Moment.BEFORE,
    "on_action_executed": Moment.AFTER,
    "on_run_done": Moment.SESSION_END,
}
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
    """Words for the adapter to append to the tool's output."""
    return {"text": words}
