"""HTTP on one accepted TCP connection: nobody is known by it, and who does not read is cut off."""

import asyncio

from typing_extensions import override

from agentcg.api.controller import NO_PEER
from agentcg.api.gate import Link
from agentcg.api.protocol import PeerProtocol

# What is sent has to be taken by then; until then an answer waits whole, of a stream 64 KiB.
TAKEN_WITHIN = 20.0


class WebProtocol(PeerProtocol):
    """As at the other doors, but for the peer: a token in each request is all that counts."""

    _stuck: asyncio.TimerHandle | None = None

    @override
    def meet(self, transport: asyncio.Transport) -> Link:
        return Link(NO_PEER, self.gate.door, "web", self.gate, transport.abort)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(TAKEN_WITHIN, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        self._moves()
        super().resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._moves()
        super().connection_lost(exc)

    def _moves(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
