"""What a session's model may ask by MCP: advice, no enforcement. Answers are sentences.

The server speaks for the session whose process it is, by the agents' socket. It keeps nothing: MCP
of 2026 knows no sessions, so a call is named by its id in every request.
"""

import os
import secrets
import shlex
from collections.abc import Iterator
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from agentcg import __version__
from agentcg.cli.explain import sentences
from agentcg.cli.render import size, span
from agentcg.client import AsyncClient, wire
from agentcg.errors import AgentcgError
from agentcg.harness.wiring import PREFIX
from agentcg.intent.options import HINTS
from agentcg.model.call import ALIVE
from agentcg.model.grant import holds
from agentcg.model.outcome import Cause
from agentcg.model.view import CallView, SessionView

_ABOUT = (
    "Resource limits of this session's shell commands. Ask get_budget before heavy work, "
    "declare_resources for a command that needs more than others, explain_last_call after a "
    "command was killed or slow."
)
Command = Annotated[
    str, Field(max_length=32768, description="The shell command as you would run it.")
]
Size = Annotated[str | None, Field(max_length=40, description="such as 2GiB")]
Number = Annotated[str | None, Field(max_length=40, description="such as 2")]
Time = Annotated[str | None, Field(max_length=40, description="such as 10m")]
CallName = Annotated[
    str | None, Field(max_length=128, description="its id; without: the one that ended last")
]


def server() -> MCPServer:
    """The server, with its tools."""
    made = MCPServer("agentcg", instructions=_ABOUT, version=__version__, log_level="WARNING")
    for tool in (declare_resources, get_budget, explain_last_call):
        made.add_tool(tool)
    return made


async def declare_resources(
    command: Command,
    *,
    memory: Size = None,
    guarantee: Size = None,
    cores: Number = None,
    pids: Number = None,
    deadline: Time = None,
) -> str:
    """Say what a command needs before you run it; tells what is granted and how to run it so.

    `memory` is where it is killed, `guarantee` what is never taken from it.
    """
    asked = {
        "memory": memory,
        "guarantee": guarantee,
        "cores": cores,
        "pids": pids,
        "deadline": deadline,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    key = f"mcp-{secrets.token_hex(4)}"
    body: dict[str, object] = {"command": command, "call_id": key, "on_end": "kill"}
    body |= {
        "memory": {"limit": memory, "guarantee": guarantee},
        "cpu": {"cores": cores},
        "pids": pids,
        "deadline": deadline,
    }
    try:
        async with AsyncClient(wire.AGENT) as client:
            view = await client.declare(body)
            if wrapped := _wrapped():
                # The harness places commands itself: this was to learn what one would get.
                await client.end(view.call.id)
    except AgentcgError as error:
        raise ToolError(error.message) from error
    hint = ",".join(f"{name}:{value}" for name, value in given.items() if name in HINTS)
    start = f"AGENT_RESOURCE_HINT={hint} " if hint else ""
    how = (
        f"{start}{command}"
        if wrapped
        else f"acg run --call-id {key} -- sh -c {shlex.quote(command)}"
    )
    when = "" if wrapped else " within a minute"
    return "\n".join([*_granted(view), f"Run it{when} as: {how}"])


async def get_budget() -> str:
    """What this session's commands may use, what they use now, and what is left."""
    try:
        async with AsyncClient(wire.AGENT) as client:
            session = await client.session()
            calls = await client.calls()
            host = await client.host()
    except AgentcgError as error:
        raise ToolError(error.message) from error
    return "\n".join([*_budget(session, host.cpus), *map(_open, calls)])


async def explain_last_call(call: CallName = None) -> str:
    """Why the last command ended as it did, what it used, and what to do next."""
    try:
        async with AsyncClient(wire.AGENT) as client:
            views = await client.calls(everything=True)
    except AgentcgError as error:
        raise ToolError(error.message) from error
    if call is None:
        # An intent whose command never came is not what is asked for.
        found = [v for v in views if v.call.outcome and v.call.outcome.cause != Cause.NEVER_STARTED]
    else:
        found = [view for view in views if call in {view.call.id, view.call.intent.key}]
    if not found:
        raise ToolError("no such call" if call else "no command of this session is over yet")
    return "\n".join(sentences(max(found, key=lambda view: view.call.ended_at or 0.0)))


def _wrapped() -> bool:
    """Whether the harness, whose settings are in this environment, runs commands by acg-shell."""
    return os.environ.get(PREFIX, "").rpartition("/")[2] == "acg-shell"


def _granted(view: CallView) -> Iterator[str]:
    grant = view.call.grant
    limit = "none" if grant.memory_limit is None else size(grant.memory_limit)
    words = f"Granted: memory limit {limit}, guarantee {size(grant.memory_guarantee)}"
    if grant.cpus is not None:
        words += f", cores {len(grant.cpus)}"
    if grant.pids is not None:
        words += f", pids {grant.pids}"
    if grant.deadline is not None:
        words += f", deadline {span(grant.deadline)}"
    yield f"{words}."
    yield from (f"Note: {note}." for note in grant.notes)
    yield from (f"Not declared: {knob}, {how}." for knob, how in sorted(grant.source.items()))
    loose = [knob for knob, how in sorted(grant.enforced.items()) if not holds(how)]
    if loose:
        yield f"This host does not enforce: {', '.join(loose)}."


def _budget(view: SessionView, cpus: int) -> Iterator[str]:
    budget = view.session.budget
    if view.calls_limit is None:
        yield "No memory limit holds for this session's commands."
    else:
        yield f"All commands together may use {size(view.calls_limit)} of memory."
    if view.memory is not None:
        of = "" if view.limit is None else f" of {size(view.limit)}"
        yield f"The session uses {size(view.memory)}{of} now, the agent itself included."
    if budget.guarantee is not None:
        yield f"Guarantees may be {size(budget.guarantee)} together."
    pids = "" if budget.pids is None else f", processes at most {budget.pids}"
    yield f"Commands at once: {view.open_calls} of {budget.calls}{pids}; CPUs of the host: {cpus}."


def _open(view: CallView) -> str:
    call, limit = view.call, view.call.grant.memory_limit
    state = "runs" if call.state in ALIVE else f"is {call.state.value}"
    used = "" if view.usage.memory is None else f", {size(view.usage.memory)} used"
    of = "" if limit is None else f" of {size(limit)}"
    return f"{call.id} {state}{used}{of}: {(call.intent.command or call.intent.tool)[:200]}"
