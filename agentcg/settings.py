"""The configuration file: one YAML document, checked whole, every error with file and line.

Defaults and descriptions live here and nowhere else: `make reference` writes the commented
daemon/config/agentcg.yaml and docs/reference/configuration.md from them.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from agentcg import yaml_lines
from agentcg.errors import ConfigError
from agentcg.model.rule import CommandRule, DockerRule
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
from agentcg.settings_parts import Gpu, Learned, Metrics, Traces, Web
from agentcg.settings_parts import Section as Section

DEFAULT_PATH = Path("/etc/agentcg/agentcg.yaml")


class Paths(Section):
    """Where sockets and the journal are."""

    run: Path = Field(
        Path("/run/agentcg"), description="the sockets; with systemd the socket units decide"
    )
    state: Path = Field(
        Path("/var/lib/agentcg"), description="the journal and traces: what survives a restart"
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
    """Memory bursts of low priority held up where the pool gets tight.

    By BPF programs and a CPU scheduler for the whole host where the kernel can (tier T1), and by
    memory.high where it cannot (tier T0); agentcg doctor says which. The kernel's own way with
    memory.high has neither burst nor refill, a delay of 2 s at most, and knows of no daemon.
    """

    enabled: bool = Field(False, description="hold them up")
    bpf: bool = Field(True, description="where the kernel can, by BPF; false: by memory.high only")
    partial: bool = Field(
        False, description="the scheduler has calls alone, which may leave it; false: everything"
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
    slots: Count = Field(4096, description="threads of one session that may be held at a time")


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
        Undeclared.CAP,
        description="work outside calls: only observe it, cap it, or cap it and place commands "
        "in calls of their own once they run (needs the observer)",
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


class Docker(Section):
    """Containers that become sessions by themselves.

    One with the label agentcg.session (its value names the session) does, with agentcg.priority
    and agentcg.guarantee from its own labels; those of its image do not count.
    """

    enabled: bool = Field(True, description="whether the engine's events are followed")
    socket: Path = Field(Path("/var/run/docker.sock"), description="the engine")
    harnesses: tuple[Name, ...] = Field(
        ("claude", "codex", "gemini", "opencode", "openhands"),
        description="what docker exec starts of these is an agent, not a call (acg runc)",
    )
    orphan_after: Wait | None = Field(
        2.0, description="a call whose docker CLI died is killed after this; null: never"
    )
    rules: tuple[DockerRule, ...] = Field(
        (),
        description="besides labelled containers these",
        examples=[{"image": "swe-*", "priority": 10, "budget": {"guarantee": "2GiB"}}],
    )


class Hooks(Section):
    """Calls that a harness announces by its hooks (acg hook)."""

    brief: bool = Field(
        True, description="tell the model, as its session starts, what a call may use and ask for"
    )
    rules: tuple[CommandRule, ...] = Field(
        (),
        description="intents for commands that declare none; what they declare wins",
        examples=[{"command": "*pytest*", "memory": {"limit": "4GiB"}, "cpu": {"class": "batch"}}],
    )


class Observer(Section):
    """A look at what agents start outside calls: by BPF, else by the process connector.

    It only looks; undeclared: place is what gives undeclared commands calls of their own.
    """

    enabled: bool = Field(True, description="look, where the host can")
    bpf: bool = Field(True, description="where the kernel can, by BPF; false: never")
    rate: Annotated[Count, Field(ge=1, le=10_000)] = Field(
        500,
        description="forks, execs and exits a second of one agent that are looked at; of all "
        "together four times that",
    )
    places: Annotated[Count, Field(ge=1, le=100)] = Field(
        10, description="undeclared commands of one agent that are placed, or told of, in a second"
    )
    wait: Annotated[Seconds, Field(le=10)] = Field(
        0.25,
        description="a process can keep who reads its arguments waiting: so long at most, and so "
        "much of a second for one agent; beyond that it is seen without. More for a slow host",
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
    hooks: Hooks = Hooks()
    observer: Observer = Observer()
    journal: Journal = Journal()
    traces: Traces = Traces()
    metrics: Metrics = Metrics()
    web: Web = Web()
    gpu: Gpu = Gpu()
    learned: Learned = Learned()
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
        twice = [
            f"{path}:{line}: {key}: is there twice; keep one"
            for line, key in yaml_lines.twice(node)
        ]
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise ConfigError(
            f"{path}:{yaml_lines.mark_line(e, text)}: not YAML: {yaml_lines.problem(e)}"
        ) from e
    if twice:
        raise ConfigError("\n".join(twice))
    if data is None:
        return Settings()
    try:
        return Settings.model_validate(data)
    except ValidationError as e:
        lines = [
            f"{path}:{yaml_lines.line(node, error['loc'])}: {_name(error['loc'])}: "
            f"{error['msg'].removeprefix('Value error, ')} (got {error['input']!r:.80})"
            for error in e.errors()
        ]
        raise ConfigError("\n".join(lines)) from e


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location) or "document"
