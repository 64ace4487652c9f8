"""agentcg: an OS resource controller for sandboxed coding agents."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from agentcg.client.block import Block as call  # noqa: N813

__all__ = ["__version__", "call"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`agentcg.call` costs the import of a client, which the rest of the package must not pay."""
    if name == "call":
        from agentcg.client.block import Block

        return Block
    raise AttributeError(f"module 'agentcg' has no attribute {name!r}")
