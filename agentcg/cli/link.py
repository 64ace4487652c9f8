"""How commands reach the daemon and name its calls."""

import os
from typing import TYPE_CHECKING

from agentcg.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from agentcg.client import Client
    from agentcg.model.view import CallView


def client(**options: float) -> "Client":
    """The client for the socket in AGENTCG_SOCKET, else for the usual one."""
    from agentcg.client import Client

    return Client(os.environ.get("AGENTCG_SOCKET") or None, **options)


def find(daemon: "Client", prefix: str) -> "CallView":
    """The call with this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none.
        ConflictError: there are several.
    """
    found = [v for v in daemon.calls(everything=True) if v.call.id.startswith(prefix)]
    for view in found:
        if view.call.id == prefix:
            return view
    if not found:
        raise NotFoundError(f"no call {prefix!r}: `agentcg ps -a` lists them")
    if len(found) > 1:
        names = ", ".join(view.call.id for view in found[:5])
        raise ConflictError(f"{prefix!r} could be {names}: write more of the id")
    return found[0]
