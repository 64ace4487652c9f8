"""Claude Agent SDK: the hooks of Claude Code as callbacks, for programs that load no settings.

    ClaudeAgentOptions(hooks=claude_agent_sdk.hooks(), env=claude_agent_sdk.env())

They say the same to the daemon as `acg hook claude-code`, and answer what it answers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentcg import native
from agentcg.client import AsyncClient, wire
from agentcg.errors import AgentcgError
from agentcg.harness.wiring import PREFIX, WIRINGS

if TYPE_CHECKING:
    from claude_agent_sdk import HookMatcher

HARNESS = "claude-code"
# As long as `acg hook` takes at most. Of a callback that takes too long the SDK stops the call.
PATIENCE = 0.9


def hooks() -> "dict[str, list[HookMatcher]]":
    """What to give as `hooks`; your own may stand beside them."""
    from claude_agent_sdk import HookMatcher

    how = WIRINGS[HARNESS]
    return {
        event: [HookMatcher(matcher=matcher, hooks=[hook], timeout=float(how.timeout))]
        for event, matcher in how.events.items()
    }


def env(acg: Path | None = None) -> dict[str, str]:
    """What to have in `env`, so that each command starts as its call.

    Nothing where the client or its second name is missing, for then no command would run.
    """
    try:
        shell = (acg or native.acg()).with_name("acg-shell")
    except AgentcgError:
        return {}
    return {PREFIX: str(shell)} if shell.exists() else {}


async def hook(told: Mapping[str, Any], _: str | None, __: object) -> dict[str, Any]:
    """Tell the daemon; whatever goes wrong, the agent hears nothing and goes on."""
    try:
        async with AsyncClient(wire.AGENT, timeout=PATIENCE) as client:
            return await client.hook(HARNESS, told)
    except (AgentcgError, ValueError, TypeError):
        return {}
