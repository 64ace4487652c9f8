"""The configuration file: one YAML document, checked whole, every error with file and line.

Defaults and descriptions live here and nowhere else: `make reference` writes the commented
daemon/config/agentcg.yaml and docs/reference/configuration.md from them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcg.errors import ConfigError
from agentcg.model.session import Undeclared
from agentcg.model.wire import (
    BudgetBody,
    Bytes,
    Count,
    Name,
    Pids,
    Priority,
    Seconds,
    SessionBody,
    Wait,
)

DEFAULT_PATH = Path("/etc/agentcg/agentcg.yaml")


class Section(BaseModel):
    """What all sections share: a key that is not known is an error, not a comment."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(Section):
    """Where sockets and the journal are."""

    run: Path = Field(
        Path("/run/agentcg"), description="the sockets; with systemd the socket units decide"
    )
    state: Path = Field(
        Path("/var/lib/agentcg"), description="the journal: what survives a restart"
    )


class Cgroup(Section):
    """Which tree is managed."""

    root: Path = Field(Path("/sys/fs/cgroup"), description="the cgroup2 mount")
    pool: str = Field("agentcg.slice", description="the ancestor of all sessions, below root")
    bare_parent: str = Field(
        "agentcg.slice/agentcg-keeper.service", description="bare sessions live here, below root"
    )


class Host(Section):
    """Changes to the whole host, none of them made without being asked for."""

    favordynmods: bool = Field(
        False,
        description="mount cgroup2 with it, until the next boot: a call starts 10 to 20 ms "
        "sooner, forks get a little dearer",
    )


class Governor(Section):
    """Memory bursts held up in the kernel, with a CPU scheduler for the whole host (tier T1)."""

    enabled: bool = Field(
        False, description="load it where the kernel can; agentcg doctor says whether"
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.85,
        description="of the pool's limit, what all may fill; the rest is for agents and kernel",
    )
    slack: Annotated[float, Field(ge=0, le=1)] = Field(
        0.8, description="of that share: up to this nobody is held up"
    )
    band: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="of that share: its last part, the less for a call the lower its priority"
    )
    burst: Bytes = Field(
        64 << 20, description="what a rested call may grow at once while the pool has room"
    )
    refill: Bytes = Field(16 << 20, description="how much of that comes back in a second")
    max_delay: Wait = Field(2.0, description="the longest that one batch of 256 KiB is held up")
    dead_man: Annotated[Seconds, Field(ge=15)] = Field(
        60.0, description="a daemon that is silent so long: everybody is let go; 15 s or more"
    )
    slots: Count = Field(4096, description="threads of one call that may be held at a time")


class Calls(Section):
    """For calls that do not say, and how long a call may linger."""

    memory_limit: Bytes | None = Field(
        None, description="kill threshold; null: all that the session's calls may use"
    )
    pids: Pids = Field(4096, description="processes and threads")
    deadline: Seconds | None = Field(None, description="killed after that time; null: never")
    start_within: Seconds = Field(
        60.0, description="a call declared and not started by then loses its grant"
    )
    linger_kill: Wait = Field(
        2.0, description="what outlives its call is killed after this (on_end: kill)"
    )
    linger_max: Seconds = Field(1800.0, description="... or after this (on_end: keep)")


class Sessions(Section):
    """For sessions that do not say, and for work outside any call."""

    priority: Priority = Field(0, description="no call of it may go higher")
    budget: BudgetBody = Field(BudgetBody(), description="the most that its calls may ask for")
    undeclared: Undeclared = Field(
        Undeclared.CAP, description="work outside calls: only observe it, or cap it"
    )
    undeclared_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25, description="of the session's memory, for work outside calls"
    )

    def fill(self, body: SessionBody) -> SessionBody:
        """What a body does not say, said by the configuration."""
        said = {name: getattr(body.budget, name) for name in body.budget.model_fields_set}
        names = {"priority", "undeclared"} - body.model_fields_set
        return body.model_copy(
            update={
                **{name: getattr(self, name) for name in names},
                "budget": self.budget.model_copy(update=said),
            }
        )


class SelfSessions(Section):
    """Sessions that an unprivileged process opens for itself."""

    enabled: bool = Field(False, description="whether it may")
    per_uid: Annotated[Count, Field(ge=1, le=256)] = Field(
        4, description="how many one user may have open"
    )
    budget: BudgetBody = Field(BudgetBody(), description="what each of them gets")


class DockerRule(Section):
    """A rule that takes up containers; the first that matches counts."""

    name: Name | None = Field(None, description="a glob that the container's name matches")
    image: Name | None = Field(None, description="a glob that its image's name matches")
    priority: Priority = Field(0, description="of the session")
    budget: BudgetBody = Field(BudgetBody(), description="of the session")
    undeclared: Undeclared = Field(Undeclared.CAP, description="of the session")


class Docker(Section):
    """Containers that become sessions by themselves.

    One with the label agentcg.session (its value names the session) does, with agentcg.priority
    and agentcg.guarantee from its own labels; those of its image do not count.
    """

    enabled: bool = Field(True, description="whether the engine's events are followed")
    socket: Path = Field(Path("/var/run/docker.sock"), description="the engine")
    rules: tuple[DockerRule, ...] = Field(
        (),
        description="besides labelled containers these",
        examples=[{"image": "swe-*", "priority": 10, "budget": {"guarantee": "2GiB"}}],
    )


class Journal(Section):
    """What is remembered of the past."""

    keep: Annotated[Count, Field(ge=0, le=10_000_000)] = Field(
        10_000, description="closed calls that are remembered, and as many closed sessions"
    )


class Settings(Section):
    """The whole configuration."""

    paths: Paths = Paths()
    cgroup: Cgroup = Cgroup()
    host: Host = Host()
    governor: Governor = Governor()
    calls: Calls = Calls()
    sessions: Sessions = Sessions()
    self_sessions: SelfSessions = SelfSessions()
    docker: Docker = Docker()
    journal: Journal = Journal()
    store_commands: Literal["none", "hash", "redacted", "full"] = Field(
        "redacted", description="what is kept of a command line"
    )


def load(path: Path) -> Settings:
    """Read a configuration file; a missing default file means the defaults.

    Raises:
        ConfigError: it cannot be read or something in it is wrong; one line per error, each
            with file, line, key and value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path == DEFAULT_PATH:
            return Settings()
        raise ConfigError(f"{path}: no such file; name an existing one with --config") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: {e}; make it readable UTF-8 text") from e
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
        twice = [f"{path}:{line}: {key}: is there twice; keep one" for line, key in _twice(node)]
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise ConfigError(f"{path}:{_mark_line(e, text)}: not YAML: {_problem(e)}") from e
    if twice:
        raise ConfigError("\n".join(twice))
    if data is None:
        return Settings()
    try:
        return Settings.model_validate(data)
    except ValidationError as e:
        lines = [
            f"{path}:{_line(node, error['loc'])}: {_name(error['loc'])}: "
            f"{error['msg'].removeprefix('Value error, ')} (got {error['input']!r:.80})"
            for error in e.errors()
        ]
        raise ConfigError("\n".join(lines)) from e


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location) or "document"


def _line(node: Any, location: tuple[int | str, ...]) -> int:  # noqa: ANN401 - a yaml node
    """The line of the deepest key or item on the way to `location` that the file has."""
    line = 0 if node is None else int(node.start_mark.line)
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(step)]
            if not found:
                break
            key, node = found[0]
            line = int(key.start_mark.line)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = int(node.start_mark.line)
    return line + 1


def _twice(node: Any) -> list[tuple[int, str]]:  # noqa: ANN401 - a yaml node
    """Line and name of keys that a mapping has already: YAML would drop the first in silence."""
    found: list[tuple[int, str]] = []
    inner = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        inner = [value for _, value in node.value]
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:number]):
                found.append((int(key.start_mark.line) + 1, key.value))
    return found + [one for child in inner for one in _twice(child)]


def _mark_line(error: Exception, text: str) -> int:
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = getattr(error, "problem_mark", None)
    return 1 if mark is None else int(mark.line) + 1


def _problem(error: Exception) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())
