"""mini-swe-agent: its local environment, with every action a call.

environment:
  environment_class: agentcg.integrations.mini_swe_agent.AgentcgEnvironment
  call: {memory: 4GiB, deadline: 10m}
"""

import shlex
from typing import Any

from minisweagent.environments.local import LocalEnvironment, LocalEnvironmentConfig
from minisweagent.exceptions import Submitted
from pydantic import Field
from typing_extensions import override

from agentcg.errors import LimitError
from agentcg.integrations.asked import Asked

REFUSED = 125


class AgentcgConfig(LocalEnvironmentConfig):
    """The settings of the local environment, and what a call gets that asks for nothing."""

    call: dict[str, Any] = Field(default_factory=dict)


class AgentcgEnvironment(LocalEnvironment):
    """Runs an action as a call; its output ends with what the model has to know of a limit."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of the configuration
        super().__init__(config_class=AgentcgConfig, **settings)

    @override
    def execute(
        self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None
    ) -> dict[str, Any]:
        """Run one action of the model."""
        command = action.get("command", "")
        asked = Asked(command, self.config.call, tool="bash")
        try:
            with asked.call as call:
                line = shlex.join(call.wrap(command))
                try:
                    output = super().execute({**action, "command": line}, cwd, timeout=timeout)
                except Submitted:
                    call.exit_code = 0
                    raise
                call.exit_code = output["returncode"]
        except LimitError as error:
            return {
                "output": f"agentcg: {error.message}",
                "returncode": REFUSED,
                "exception_info": "",
            }
        if words := asked.words():
            output["output"] = f"{output['output']}\n{words}".lstrip()
        return output
