import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from agentcg.client import AsyncClient
from agentcg.errors import DeniedError, NotFoundError, UnavailableError
from agentcg.model.call import CallState
from tests.unit.api.fake import Running


async def test_a_call_goes_through_its_life(server: Running) -> None:
    async with AsyncClient(server.agent) as client:
        call = (await client.declare({"memory": {"limit": "2g"}})).call.id
        assert (await client.freeze(call)).call.state is CallState.FROZEN
        assert (await client.thaw(call)).call.state is CallState.RUNNING
        assert (await client.patch(call, {"pids": 9})).call.id == call
        assert (await client.call(call)).call.id == call
        assert (await client.end(call)).call.state is CallState.EXITED
        assert await client.calls() == []
        assert (await client.close(call)).call.id == call
        with pytest.raises(NotFoundError):
            await client.kill("c-none")


async def test_many_requests_at_once_share_few_connections(server: Running) -> None:
    async with AsyncClient(server.agent) as client:
        await asyncio.gather(*(client.health() for _ in range(100)))


async def test_the_administrator_sees_sessions_and_host(server: Running) -> None:
    async with AsyncClient(server.admin) as client:
        opened = await client.open_session({"runtime": "bare", "pid": 1})
        assert await client.session(opened.session.id) in await client.sessions()
        await client.close_session(opened.session.id)
        assert (await client.host()).tier == "T0"
        assert await client.health() == "ok\n"
    async with AsyncClient(server.agent) as client:
        with pytest.raises(DeniedError):
            await client.metrics()


async def test_events_are_followed(server: Running) -> None:
    async with AsyncClient(server.agent) as client:
        async with aclosing(client.events(2)) as stream:  # type: ignore[type-var]
            async for event in stream:
                assert event.seq == 3
                break
        with pytest.raises(UnavailableError):
            async for _ in client.events(silence=0.2):
                pass


async def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with AsyncClient(tmp_path / "sock") as client:
        with pytest.raises(UnavailableError, match="systemctl start"):
            await client.host()
