"""Which cgroups may become a session, and which processes may be moved into a new one.

A session's cgroup is split and capped by us, so it has to be one that its owner gave away: a
container, or a unit with Delegate=yes. Everything else has another manager, which would undo the
split, or hold more than one agent.
"""

from collections.abc import Collection
from pathlib import PurePosixPath


def refuse_target(
    path: str, *, delegated: bool, children: Collection[str], own_unit: str | None
) -> str | None:
    """Why the cgroup at `path` (below the root, no leading slash) may not become a session.

    `children` are those that we did not make, `own_unit` is the daemon's own cgroup. None means
    that nothing speaks against it.
    """
    reason = _forbidden(path, own_unit)
    if reason is not None:
        return reason
    if _user_manager(path):
        return (
            f"{path!r} belongs to a user manager, which runs it for its user: "
            f"open a scope below the pool instead"
        )
    if not delegated:
        return (
            f"{path!r} is not delegated: its manager may undo any change in it; "
            f"set Delegate=yes on the unit, or open a scope"
        )
    if children:
        names = ", ".join(sorted(children)[:3])
        return (
            f"{path!r} has children that agentcg did not make ({names}), which have an owner: "
            f"start the agent in a scope of its own"
        )
    return None


def refuse_origin(path: str, *, delegated: bool) -> str | None:
    """Why a process may not be taken out of the cgroup at `path` into a new scope."""
    path = _unit(path)
    reason = _forbidden(path, None)
    if reason is not None:
        return reason
    if delegated:
        return (
            f"{path!r} is delegated to a manager of its own, such as a container engine: "
            f"open the container, or start the agent below the pool (Slice=agentcg.slice)"
        )
    if path.endswith(".service"):
        return (
            f"{path!r} is a service that is not delegated: its manager accounts for its processes, "
            f"stops and restarts them; start the agent in a scope (systemd-run --scope)"
        )
    return None


def ways_out(uids: Collection[int], managers: Collection[int]) -> str | None:
    """How processes of these uids on the host itself can have work done outside their session.

    `managers` are the uids for which a user's systemd runs.
    """
    if 0 in uids:
        return "it has processes of the host's root, which can leave any cgroup"
    if managers:
        uid = min(managers)
        return (
            f"user@{uid}.service runs units for its uid {uid} (systemd-run --user): "
            f"what it starts is in no session"
        )
    return None


def _forbidden(path: str, own_unit: str | None) -> str | None:
    parts = PurePosixPath(path).parts
    if not parts:
        return "the root cgroup holds the whole host: name a container or a process of an agent"
    if "init.scope" in parts:
        return f"{path!r} is where a service manager itself runs: name an agent's process"
    if parts[-1].endswith(".slice"):
        return f"{path!r} is a slice, which cannot be delegated: name a scope or a container in it"
    if own_unit and (path == own_unit or path.startswith(own_unit + "/")):
        return f"{path!r} is the daemon's own unit: nothing below it survives a restart of it"
    if parts[-1].startswith("user@"):
        return f"{path!r} is a user manager, with all that it runs: name a scope or an agent in it"
    return None


def _user_manager(path: str) -> bool:
    return any(
        part.startswith("user@") and part.endswith(".service") for part in PurePosixPath(path).parts
    )


def _unit(path: str) -> str:
    """The deepest unit on the way to `path`; below it is what the unit's owner made."""
    parts = PurePosixPath(path).parts
    for depth in range(len(parts), 0, -1):
        if parts[depth - 1].endswith((".scope", ".service", ".slice")):
            return "/".join(parts[:depth])
    return path
