"""The configuration file: one YAML document, checked whole, every error with file and line.

Defaults live here and nowhere else; daemon/config/agentcg.yaml shows each of them commented out.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcg.errors import ConfigError
from agentcg.model.session import Undeclared
from agentcg.model.wire import BudgetBody, Bytes, Count, Name, Pids, Priority, Seconds, Wait

DEFAULT_PATH = Path("/etc/agentcg/agentcg.yaml")


class Section(BaseModel):
    """What all sections share: a key that is not known is an error, not a comment."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(Section):
    """Where sockets and the journal are."""

    run: Path = Path("/run/agentcg")
    state: Path = Path("/var/lib/agentcg")


class Cgroup(Section):
    """Which tree is managed. `pool` and `bare_parent` are relative to `root`."""

    root: Path = Path("/sys/fs/cgroup")
    pool: str = "agentcg.slice"
    bare_parent: str = "agentcg.slice/agentcg-keeper.service"


class Host(Section):
    """Changes to the whole host, none of them made without being asked for."""

    favordynmods: bool = False


class Calls(Section):
    """For calls that do not say, and how long a call may linger."""

    memory_limit: Bytes | None = None
    pids: Pids = 4096
    deadline: Seconds | None = None
    start_within: Seconds = 60.0
    linger_kill: Wait = 2.0
    linger_max: Seconds = 1800.0


class Sessions(Section):
    """For sessions that do not say, and for work outside any call."""

    priority: Priority = 0
    budget: BudgetBody = BudgetBody()
    undeclared: Undeclared = Undeclared.CAP
    undeclared_share: Annotated[float, Field(ge=0, le=1)] = 0.25


class SelfSessions(Section):
    """Sessions that a process may open for itself over the agent socket."""

    enabled: bool = False
    per_uid: Annotated[Count, Field(ge=1, le=256)] = 4
    budget: BudgetBody = BudgetBody()


class DockerRule(Section):
    """Take up a container whose name or image matches the glob, or that bears the label."""

    name: Name | None = None
    image: Name | None = None
    priority: Priority = 0
    budget: BudgetBody = BudgetBody()
    undeclared: Undeclared = Undeclared.CAP


class Docker(Section):
    """Which containers become sessions by themselves."""

    enabled: bool = True
    socket: Path = Path("/var/run/docker.sock")
    rules: tuple[DockerRule, ...] = ()


class Journal(Section):
    """How many closed calls are remembered."""

    keep: Annotated[Count, Field(ge=0, le=10_000_000)] = 10_000


class Settings(Section):
    """The whole configuration."""

    paths: Paths = Paths()
    cgroup: Cgroup = Cgroup()
    host: Host = Host()
    calls: Calls = Calls()
    sessions: Sessions = Sessions()
    self_sessions: SelfSessions = SelfSessions()
    docker: Docker = Docker()
    journal: Journal = Journal()
    store_commands: Literal["none", "hash", "redacted", "full"] = "redacted"


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
