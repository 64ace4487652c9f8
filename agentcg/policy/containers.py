"""Which containers become sessions, under which name, and which of them are only looked at.

A label says what the person who started the container wants. Images bring labels too, and whoever
made the image is not that person: what an image says about priority or guarantee does not count.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from agentcg import units
from agentcg.errors import BadValueError
from agentcg.model.container import Container
from agentcg.model.rule import DockerRule
from agentcg.model.wire import BudgetBody, SessionBody
from agentcg.settings import Sessions

LABEL = "agentcg.session"
PRIORITY = "agentcg.priority"
GUARANTEE = "agentcg.guarantee"
_ADMIN = frozenset({"ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"})
_CGROUP = "/sys/fs/cgroup"
_SOCKETS = re.compile(r"(docker|containerd|podman|crio|buildkitd)\.sock$")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to open for a container, and what in its labels was wrong."""

    body: SessionBody
    notes: tuple[str, ...] = ()


def choose(found: Container, rules: Sequence[DockerRule], defaults: Sessions) -> Choice | None:
    """Decide on a container that has just started; None if nobody asked for it."""
    rule = next((r for r in rules if _matches(found, r)), None)
    if rule is None and LABEL not in found.labels:
        return None
    if rule is None:
        priority, budget, undeclared = defaults.priority, defaults.budget, defaults.undeclared
    else:
        priority, budget, undeclared = rule.priority, rule.budget, rule.undeclared
    notes: list[str] = []
    trusted = {k: v for k, v in found.labels.items() if found.image_labels.get(k) != v}
    priority = _priority(trusted, priority, notes)
    budget = _guarantee(trusted, budget, notes)
    wanted = found.labels.get(LABEL) or found.name
    body = SessionBody(
        runtime="docker",
        id=sanitized(wanted) or None,
        name=found.name[:128],
        container=found.id,
        priority=priority,
        budget=budget,
        undeclared=undeclared,
    )
    return Choice(body, tuple(notes))


def sanitized(name: str) -> str:
    """Make a session id of a container's name; empty if nothing of it can stay."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).lstrip("_-")[:63]


def observe_reason(found: Container) -> str | None:
    """Why a container can only be looked at: it could undo whatever we do to its cgroup."""
    admin = sorted(_ADMIN & {c.upper() for c in found.cap_add})
    over = any(_over(m, _CGROUP) or _over(_CGROUP, m) for m in found.writable_mounts)
    own = any(o.replace(":", "=") == "writable-cgroups=true" for o in found.security_opt)
    reasons = (
        (found.privileged, "is privileged"),
        (bool(admin), f"has the capability {''.join(admin[:1])}"),
        (found.pid_mode == "host", "shares the host's pid namespace"),
        (found.cgroupns_mode == "host", "shares the host's cgroup namespace"),
        (over, "has the host's cgroup tree mounted writable"),
        (own, "may write its own cgroups"),
    )
    return next((f"the container {why}" for holds, why in reasons if holds), None)


def warning(found: Container) -> str | None:
    """What lets processes leave their session, though the session itself can be managed."""
    for mount in found.mounts:
        if _SOCKETS.search(mount) or _over(mount, "/run") or _over(mount, "/var/run"):
            return f"it has {mount} mounted: containers that it starts are in no session"
    return None


def cgroup_of(init_path: str, container: str, agent: str) -> tuple[str, str | None]:
    """From the cgroup of a container's init to the container's own, and what is odd about it.

    Runtimes name that directory in their own ways, but always with the container's id in it.

    Raises:
        BadValueError: the id does not occur, so the process is not this container's init.
    """
    parts = init_path.strip("/").split("/")
    depth = next((n for n, part in enumerate(parts, 1) if container in part), None)
    if depth is None:
        raise BadValueError(
            f"container {container[:12]}: its init's cgroup {init_path!r} does not bear its id, "
            f"so its engine does not run on this host; name a container of the local engine"
        )
    # crun below podman makes one more level of its own.
    if parts[depth : depth + 1] == ["container"]:
        depth += 1
    rest = parts[depth:]
    odd = None if rest in ([], [agent]) else f"its init runs in a cgroup of its own, {rest[0]!r}"
    return "/".join(parts[:depth]), odd


def _over(upper: str, lower: str) -> bool:
    return PurePosixPath(lower).is_relative_to(upper)


def _matches(found: Container, rule: DockerRule) -> bool:
    if rule.name is None and rule.image is None:
        return LABEL in found.labels
    return (rule.name is None or fnmatchcase(found.name, rule.name)) and (
        rule.image is None or fnmatchcase(found.image, rule.image)
    )


def _priority(labels: Mapping[str, str], otherwise: int, notes: list[str]) -> int:
    text = labels.get(PRIORITY)
    if text is None:
        return otherwise
    if not re.fullmatch(r"[+-]?[0-9]{1,3}", text) or not -100 <= int(text) <= 100:
        notes.append(f"label {PRIORITY}={text[:40]!r} is no number from -100 to 100: not used")
        return otherwise
    return int(text)


def _guarantee(labels: Mapping[str, str], budget: BudgetBody, notes: list[str]) -> BudgetBody:
    text = labels.get(GUARANTEE)
    if text is None:
        return budget
    try:
        return budget.model_copy(update={"guarantee": units.parse_bytes(text)})
    except BadValueError as e:
        notes.append(f"label {GUARANTEE}: {e.message}: not used")
        return budget
