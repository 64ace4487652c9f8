"""SWE-agent: a hook by which each action is a call, whose model hears of a limit that it felt.

    agent.add_hook(AgentcgHook())

SWE-agent types actions into one shell of SWE-ReX that stays: an action is announced before it is
typed, and in a session opened with `--undeclared place` what it starts becomes that call.
"""

import uuid
from typing import Any

from sweagent.agent.hooks.abstract import AbstractAgentHook
from typing_extensions import override

from agentcg.client import Client, wire
from agentcg.errors import AgentcgError

HARNESS = "swe-agent"
PATIENCE = 0.9  # as for `acg hook`


class AgentcgHook(AbstractAgentHook):  # type: ignore[misc]  # not on PyPI
    """Tells the daemon of each action; whatever goes wrong, SWE-agent hears nothing and goes on."""

    def __init__(self) -> None:
        """Speak for one conversation, that of the agent which this is added to."""
        self._session = uuid.uuid4().hex
        self._key = ""
        self._early = ""  # what is wrong with the hint of the action that runs

    @override
    def on_action_started(self, *, step: Any) -> None:
        """Announce it."""
        self._key = uuid.uuid4().hex
        self._early = self._tell("on_action_started", step.action)

    @override
    def on_action_executed(self, *, step: Any) -> None:
        """Add to the observation, which the model reads next."""
        words = [self._early, self._tell("on_action_executed", step.action)]
        step.observation = "\n".join([step.observation, *filter(None, words)])

    @override
    def on_run_done(self, *, trajectory: Any, info: Any) -> None:
        """Nothing of it is waited for any more."""
        self._tell("on_run_done", "")

    def _tell(self, event: str, command: str) -> str:
        told = {
            "hook_event_name": event,
            "session_id": self._session,
            "tool_name": "bash",
            "tool_use_id": self._key,
            "tool_input": {"command": command},
        }
        try:
            with Client(wire.AGENT, timeout=PATIENCE) as client:
                return str(client.hook(HARNESS, told).get("text", ""))
        except (AgentcgError, ValueError, TypeError):
            return ""
