"""GPU memory through both clients."""

from agentcg.client import AsyncClient, Client
from agentcg.model.gpu import LeaseState, ProgramPhase
from agentcg.model.wire_gpu import LeaseBody, LeasePatchBody, ProgramBody
from tests.unit.api.fake import Running

GIB = 1 << 30


def test_a_lease_is_asked_for_changed_and_released(server: Running) -> None:
    with Client(server.agent) as client:
        made = client.ask_lease({"call": "c-1", "memory": "8g"})
        assert made.bytes == 8 * GIB
        assert client.lease(made.id) == made
        assert client.change_lease(made.id, {"memory": "9g"}).bytes == 9 * GIB
        assert client.release_lease(made.id).state is LeaseState.EXPIRING
        assert [one.id for one in client.gpu().leases] == [made.id]
        assert client.program("p", {"event": "end"}).phase is ProgramPhase.END


async def test_and_by_the_other_client(server: Running) -> None:
    async with AsyncClient(server.agent) as client:
        made = await client.ask_lease(LeaseBody(call="c-1", memory=GIB))
        assert await client.lease(made.id) == made
        assert (await client.change_lease(made.id, LeasePatchBody(memory=5))).bytes == 5
        assert (await client.release_lease(made.id)).state is LeaseState.EXPIRING
        assert (await client.gpu()).devices[0].uuid == "GPU-1"
        told = await client.program("p", ProgramBody(event=ProgramPhase.LLM_END))
        assert told.phase is ProgramPhase.LLM_END
