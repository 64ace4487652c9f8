"""agentcg: an OS resource controller for sandboxed coding agents."""

__version__ = "0.1.0"
