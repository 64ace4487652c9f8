"""A LangChain agent with a scripted model, run as a process of a session: SCENARIO.

What the model was sent before each of its turns goes to stdout as JSON.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ShellToolMiddleware
from langchain.messages import AIMessage
from langchain.tools import tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from typing_extensions import override

from agentcg.integrations.langchain import AgentcgExecutionPolicy, AgentcgMiddleware

WHERE = "grep ^0:: /proc/self/cgroup"
LIMITED = "AGENT_RESOURCE_HINT=deadline:300ms sleep 61"


class Scripted(GenericFakeChatModel):
    heard: list[str] = []  # noqa: RUF012 - a field of the model

    @override
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    @override
    def _generate(self, messages: Any, *args: Any, **how: Any) -> Any:
        self.heard.append(str(messages[-1].content))
        return super()._generate(messages, *args, **how)


def model(name: str, *commands: str) -> Scripted:
    calls = [
        {"name": name, "args": {"command": command}, "id": f"call_{n}"}
        for n, command in enumerate(commands)
    ]
    turns = [AIMessage("", tool_calls=[call]) for call in calls]
    return Scripted(messages=iter([*turns, AIMessage("done")]))


@tool
def bash(command: str) -> str:
    """Run a command line."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    return f"{done.stdout}exit code {done.returncode}"


def own_tool() -> Any:
    """A tool of one's own, awaited; another tool is left alone."""
    script = model("bash", WHERE, LIMITED, "AGENT_RESOURCE_HINT=memory:lots true")
    middleware = AgentcgMiddleware("bash", pids=77)
    agent: Any = create_agent(script, tools=[bash], middleware=[middleware])
    asyncio.run(agent.ainvoke({"messages": [("user", "go")]}))
    return script.heard


def shell() -> Any:
    """LangChain's own shell tool, a call for each command."""
    script = model("shell", WHERE, LIMITED, "echo still there")
    with tempfile.TemporaryDirectory() as folder:
        tools: Any = ShellToolMiddleware(folder)
        agent: Any = create_agent(script, middleware=[tools, AgentcgMiddleware()])
        agent.invoke({"messages": [("user", "go")]})
    return script.heard


def policy() -> Any:
    """LangChain's own shell tool, the whole shell one call."""
    script = model("shell", f"cd /usr; {WHERE}", f"pwd; {WHERE}")
    with tempfile.TemporaryDirectory() as folder:
        how = AgentcgExecutionPolicy(call={"pids": 99, "tool": "chain"})
        agent: Any = create_agent(
            script, middleware=[ShellToolMiddleware(folder, execution_policy=how)]
        )
        agent.invoke({"messages": [("user", "go")]})
    return script.heard


if __name__ == "__main__":
    scenario = {"own_tool": own_tool, "shell": shell, "policy": policy}[sys.argv[1]]
    json.dump(scenario(), sys.stdout)
