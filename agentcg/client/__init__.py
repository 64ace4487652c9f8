"""The Python client of the daemon."""

from agentcg.client.aio import AsyncClient
from agentcg.client.sync import Client

__all__ = ["AsyncClient", "Client"]
