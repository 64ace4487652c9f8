"""The inference engine on the same GPU, by what it can do; an adapter is a file beside."""

from typing import Protocol

from agentcg.model.gpu import EngineCaps, EngineStats, ProgramId, ShrinkResult


class Engine(Protocol):
    """An engine that can make room. Its methods block and bound themselves by `timeout` seconds.

    `revision` grows with each demand; an engine that has seen a higher one answers `stale`.
    """

    def probe(self) -> EngineCaps:
        """Find out what it can do, by asking it."""
        ...

    def stats(self) -> EngineStats:
        """Read what it uses now."""
        ...

    def limit(self, kv_bytes: int, *, revision: int, timeout: float) -> ShrinkResult:
        """Let it map `kv_bytes` at most: less is a shrink, more a grow. `asked` is that number."""
        ...

    def evict(self, program: ProgramId) -> bool:
        """Drop one program's KV; False where it cannot."""
        ...
