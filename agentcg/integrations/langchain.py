"""LangChain: a tool's commands as calls (middleware), or a whole shell as one (policy)."""

import shlex
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain.agents.middleware import AgentMiddleware, HostExecutionPolicy
from langchain.agents.middleware.types import ToolCallRequest
from langchain.messages import ToolMessage
from langgraph.types import Command
from typing_extensions import override

from agentcg import native
from agentcg.errors import AgentcgError, LimitError
from agentcg.integrations.asked import Asked
from agentcg.intent.options import parse_run

Result = ToolMessage | Command[Any]


class AgentcgMiddleware(AgentMiddleware):
    """Makes a call of each command line that a tool is given; its result ends with our words.

    For tools that hand one argument to a shell: ShellToolMiddleware's, or one of your own.
    """

    def __init__(self, tool: str = "shell", *, argument: str = "command", **wish: Any) -> None:  # noqa: ANN401
        """Watch `tool`; `wish` is what agentcg.call takes, for commands that ask for nothing."""
        super().__init__()
        self._tool, self._argument, self._wish = tool, argument, wish
        Asked("", wish, tool=tool)  # a wish that does not parse is said now

    @override
    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Result]
    ) -> Result:
        """Run the tool, with its command in a call."""
        if (asked := self._asked(request)) is None:
            return handler(request)
        try:
            with asked.call:
                result = handler(self._placed(request, asked))
                asked.call.exit_code = _code(result)
        except LimitError as error:
            return _refused(request, error)
        return _told(result, asked.words())

    @override
    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Result]]
    ) -> Result:
        """The same for agents that are awaited."""
        if (asked := self._asked(request)) is None:
            return await handler(request)
        try:
            async with asked.call:
                result = await handler(self._placed(request, asked))
                asked.call.exit_code = _code(result)
        except LimitError as error:
            return _refused(request, error)
        return _told(result, asked.words())

    def _asked(self, request: ToolCallRequest) -> Asked | None:
        command = request.tool_call["args"].get(self._argument)
        if request.tool_call["name"] != self._tool or not isinstance(command, str):
            return None
        return Asked(command, self._wish, tool=self._tool)

    def _placed(self, request: ToolCallRequest, asked: Asked) -> ToolCallRequest:
        call = request.tool_call
        if asked.call.id is None:
            return request
        line = shlex.join(asked.call.wrap())
        return request.override(tool_call={**call, "args": {**call["args"], self._argument: line}})


@dataclass
class AgentcgExecutionPolicy(HostExecutionPolicy):
    """Starts ShellToolMiddleware's shell, and so all that it runs, as one call.

    `call` has options of `acg run`: {"memory": "4GiB", "cores": 2}.
    """

    call: Mapping[str, Any] = field(default_factory=dict)

    @override
    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            BadValueError: one is not known, or its value does not parse.
        """
        super().__post_init__()
        parse_run(self._options(), [], None)

    @override
    def spawn(
        self, *, workspace: Path, env: Mapping[str, str], command: Sequence[str]
    ) -> subprocess.Popen[str]:
        """Start the shell; it goes without a call where there can be none."""
        try:
            argv = [str(native.acg()), "run", *self._options(), "--", *command]
        except AgentcgError:
            argv = list(command)
        return super().spawn(workspace=workspace, env=env, command=argv)

    def _options(self) -> list[str]:
        return [f"--{name}={value}" for name, value in self.call.items()]


def _code(result: Result) -> int:
    """What LangChain knows of an exit code."""
    if not isinstance(result, ToolMessage):
        return 0
    artifact = result.artifact if isinstance(result.artifact, Mapping) else {}
    code = artifact.get("exit_code")
    return code if isinstance(code, int) else int(result.status == "error")


def _told(result: Result, words: str) -> Result:
    if not words or not isinstance(result, ToolMessage):
        return result
    content = result.content
    more = f"{content}\n{words}" if isinstance(content, str) else [*content, words]
    return result.model_copy(update={"content": more})


def _refused(request: ToolCallRequest, error: LimitError) -> ToolMessage:
    call = request.tool_call
    words = f"agentcg: {error.message}"
    return ToolMessage(words, tool_call_id=call["id"], name=call["name"], status="error")
