"""The SDK's own client asks `agentcg mcp`, which runs in a session of a real daemon."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.root.daemon import ENTER, REPO, Daemon, until

pytestmark = pytest.mark.root

MCP = (sys.executable, "-m", "agentcg", "mcp")


def by_stdio(daemon: Daemon, **env: str) -> Client:
    """A client of a server that it starts itself, in the session's agent."""
    agent = str(daemon.home / "agentcg.agent")
    args = ["-c", ENTER, agent, *MCP]
    return Client(StdioServerParameters(command="sh", args=args, env=env, cwd=REPO))


@asynccontextmanager
async def by_http(daemon: Daemon, token: Path) -> AsyncIterator[tuple[str, Client]]:
    options = ("--http", "0", "--token-file", str(token))
    with daemon.inside(*MCP, *options, stdout=subprocess.PIPE, cwd=REPO) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            headers = {"authorization": f"Bearer {token.read_text().strip()}"}
            async with httpx2.AsyncClient(headers=headers) as http:
                yield url, Client(streamable_http_client(url, http_client=http))
        finally:
            server.terminate()


async def ask(client: Client, tool: str, *, fails: bool = False, **words: str) -> str:
    result = await client.call_tool(tool, words)
    assert bool(result.is_error) is fails, result
    return "".join(part.text for part in result.content if part.type == "text")


async def test_a_model_declares_runs_and_learns_why(daemon: Daemon) -> None:
    async with by_stdio(daemon) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert sorted(tools) == ["declare_resources", "explain_last_call", "get_budget"]
        assert "such as 2GiB" in str(tools["declare_resources"].input_schema)
        assert "no command" in await ask(client, "explain_last_call", fails=True)
        told = await ask(
            client, "declare_resources", command="sleep 60 | cat", deadline="300ms", pids="64"
        )
        assert "pids 64" in told
        assert "deadline 300 ms" in told
        line = re.search(r"Run it within a minute as: acg run (.*)$", told)
        assert line is not None
        assert "Commands at once: 1 of 256" in await ask(client, "get_budget")
        # As the model would type it.
        shell = f"{REPO}/build/acg run {line[1]}"
        assert daemon.inside("sh", "-c", shell).wait(20) in {-9, 137}
        until(lambda: not daemon.leaves(), "the call to go")
        why = await ask(client, "explain_last_call")
        assert "It was killed at its deadline" in why
        assert "Advice: Killed at its deadline of 300 ms" in why
        (call,) = daemon.history()
        assert why == await ask(client, "explain_last_call", call=call["intent"]["key"])
        assert call["intent"]["command"] == "sleep 60 | cat"
        assert "'2 gallons'" in await ask(
            client, "declare_resources", command="x", memory="2 gallons", fails=True
        )
        assert "no such call" in await ask(client, "explain_last_call", call="c-x", fails=True)


async def test_where_the_harness_places_commands_a_hint_is_told(daemon: Daemon) -> None:
    async with by_stdio(daemon, CLAUDE_CODE_SHELL_PREFIX="/run/agentcg/agent/acg-shell") as client:
        told = await ask(client, "declare_resources", command="make -j", memory="1g", cores="1")
    assert "cores 1" in told
    assert told.endswith("Run it as: AGENT_RESOURCE_HINT=memory:1g,cores:1 make -j")
    assert daemon.leaves() == [], "nothing is left of the intent"


async def test_http_serves_who_has_the_token(daemon: Daemon, tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with by_http(daemon, token) as (url, client):
        assert token.stat().st_mode & 0o777 == 0o600
        async with client:
            assert "Commands at once: 0 of 256" in await ask(client, "get_budget")
            assert "acg run" in await ask(client, "declare_resources", command="true")
        async with httpx2.AsyncClient() as http:
            for headers in ({}, {"authorization": "Bearer x"}):
                assert (await http.post(url, json={}, headers=headers)).status_code == 401
            right = {"authorization": f"Bearer {token.read_text().strip()}"}
            strange = {**right, "origin": "http://example.org"}
            assert (await http.post(url, json={}, headers=strange)).status_code == 403


def test_a_server_outside_of_a_session_or_in_a_call_says_so(daemon: Daemon) -> None:
    code = "import asyncio, agentcg.cli.mcp_tools as t; print(asyncio.run(t.{}))"
    budget, declare = code.format("get_budget()"), code.format("declare_resources('x')")
    with pytest.raises(subprocess.CalledProcessError) as outside:
        subprocess.run([sys.executable, "-c", budget], capture_output=True, check=True)
    assert b"the caller is in no session" in outside.value.stderr
    with daemon.acg("--", sys.executable, "-c", declare, stderr=subprocess.PIPE) as inside:
        assert "a call cannot declare calls" in inside.communicate(timeout=20)[1]
