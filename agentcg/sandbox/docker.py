"""Containers of the local Docker engine: find one, its cgroup, and follow what starts and dies.

Everything here blocks, with timeouts of its own, and belongs in a thread. The engine is asked
over its Unix socket; that its pids are this host's is checked, because a socket can be forwarded.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentcg.errors import ConflictError, NotFoundError, UnavailableError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.container import Container
from agentcg.sandbox import tree

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types.daemon import CancellableStream

TIMEOUT = 10
_ACTIONS = ("start", "die", "exec_die")


@dataclass(frozen=True, slots=True)
class Happening:
    """A container started or died, or an exec in it did: "start", "die" or "exec_die"."""

    action: str
    container: str
    exec_id: str = ""
    exit_code: int = 0


class Engine:
    """One engine. A connection is made for each question, so a restart of dockerd is no state."""

    def __init__(self, path: Path, *, timeout: int = TIMEOUT) -> None:
        self._socket = path
        self._timeout = timeout

    def container(self, name: str) -> Container:
        """Look up a container by id or name.

        Raises:
            NotFoundError: the engine knows no such container.
            UnavailableError: there is no engine, or it does not answer.
        """
        with self._client() as client:
            raw = client.inspect_container(name)
            image = _image(client, raw)
        return _facts(raw, image)

    def running(self) -> list[str]:
        """The ids of all running containers."""
        with self._client() as client:
            return [str(c["Id"]) for c in client.containers()]

    def attached(self, exec_id: str) -> bool:
        """Whether an exec runs, and was started by a client that wanted to hear of it."""
        with self._client() as client:
            raw = client.exec_inspect(exec_id)
        return bool(raw.get("Running") and (raw.get("OpenStdout") or raw.get("OpenStderr")))

    def runtimes(self) -> dict[str, Any]:
        """The OCI runtimes that it knows, by name."""
        with self._client() as client:
            return dict(client.info().get("Runtimes") or {})

    @contextlib.contextmanager
    def events(self) -> Iterator["Events"]:
        """Subscribe to what `Happening` is about; subscribed already when this is entered."""
        with self._client() as client:
            stream = client.events(
                decode=True, filters={"type": ["container"], "event": list(_ACTIONS)}
            )
            events = Events(stream)
            try:
                yield events
            finally:
                events.close()

    @contextlib.contextmanager
    def _client(self) -> Iterator["APIClient"]:
        # The SDK takes a third of a second to import, for what many hosts never use.
        import docker
        import requests

        self._knock()
        client = None
        try:
            client = docker.APIClient(base_url=f"unix://{self._socket}", timeout=self._timeout)
            yield client
        except docker.errors.NotFound as e:
            raise NotFoundError(f"{e.explanation or e}; `docker ps` lists the containers") from e
        except docker.errors.APIError as e:
            raise UnavailableError(f"dockerd: {e.explanation or e}") from e
        except (docker.errors.DockerException, requests.RequestException) as e:
            raise UnavailableError(f"dockerd does not answer on {self._socket}: {e}") from e
        finally:
            if client is not None:
                client.close()

    def _knock(self) -> None:
        """Fail at once and cleanly without an engine: the SDK leaks a socket that is refused."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(self._timeout)
            try:
                probe.connect(str(self._socket))
            except OSError as e:
                raise UnavailableError(
                    f"{self._socket}: {e.strerror or e}; start dockerd, or set docker.socket"
                ) from e


class Events:
    """A running subscription; `close` may come from another thread and ends the iteration."""

    def __init__(self, stream: "CancellableStream[Any]") -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[Happening]:
        for event in self._stream:
            actor = event.get("Actor") or {}
            action, container = event.get("Action"), actor.get("ID")
            if action in _ACTIONS and isinstance(container, str):
                about = actor.get("Attributes") or {}
                code = str(about.get("exitCode", ""))
                yield Happening(
                    action,
                    container,
                    str(about.get("execID", "")),
                    int(code) if code.isdecimal() else 0,
                )

    def close(self) -> None:
        """End it. Harmless when repeated, or when the engine has gone."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(OSError, AttributeError, ValueError):
            self._stream.close()


@dataclass(frozen=True, slots=True)
class Home:
    """Where a container lives: its cgroup, opened, and what is odd about it, if anything."""

    cgroup: CgroupDir
    path: str
    odd: str | None


def home(
    engine: Engine,
    found: Container,
    *,
    root: CgroupDir,
    cgroup_of: Callable[[str, str, str], tuple[str, str | None]],
) -> Home:
    """Find and open a running container's cgroup, by way of its init process.

    The engine is asked again afterwards: a number that was the init's before and after, of a
    process that started only once, was the init's all the time.

    Raises:
        ConflictError: it does not run, or was restarted while it was looked at.
    """
    if not found.running or found.pid <= 0:
        raise ConflictError(f"container {found.name}: it does not run; start it first")
    born = procfs.start_time(found.pid)
    path, odd = cgroup_of(procfs.cgroup_path(found.pid), found.id, tree.AGENT)
    cgroup = root.open_path(path)
    try:
        again = engine.container(found.id)
        same = (again.pid, again.started_at, again.running) == (found.pid, found.started_at, True)
        same = same and procfs.start_time(found.pid) == born
        odd = odd or _owned(cgroup, found.pid)
    except BaseException:
        cgroup.close()
        raise
    if not same:
        cgroup.close()
        raise ConflictError(f"container {found.name}: it was restarted meanwhile; try again")
    return Home(cgroup, path, odd)


def _owned(cgroup: CgroupDir, init: int) -> str | None:
    """Why the cgroup has an owner inside the container, or None."""
    if procfs.comm(init) == "systemd":
        return "the container runs its own systemd, which owns the cgroup"
    children = set(cgroup.children())
    if strange := sorted(children - {tree.AGENT, tree.CALLS}):
        return f"the container made cgroups of its own ({strange[0][:40]!r})"
    if cgroup.subtree_control() and tree.AGENT not in children:
        return "the container enabled controllers of its own"
    return None


def _image(client: "APIClient", raw: dict[str, Any]) -> dict[str, Any]:
    import docker

    labels = (raw.get("Config") or {}).get("Labels") or {}
    if not labels:
        return {}
    try:
        return dict(client.inspect_image(raw["Image"]))  # type: ignore[no-untyped-call]
    except docker.errors.APIError:
        # Without its image nothing tells whose labels these are; then none is the container's.
        return {"Config": {"Labels": labels}}


def _facts(raw: dict[str, Any], image: dict[str, Any]) -> Container:
    state, host = raw.get("State") or {}, raw.get("HostConfig") or {}
    config = raw.get("Config") or {}
    mounts = [m for m in raw.get("Mounts") or () if m.get("Source")]
    return Container(
        id=str(raw["Id"]),
        name=str(raw.get("Name", "")).lstrip("/"),
        image=str(config.get("Image", "")),
        pid=int(state.get("Pid") or 0),
        running=bool(state.get("Running")) and not state.get("Restarting"),
        started_at=str(state.get("StartedAt", "")),
        labels=dict(config.get("Labels") or {}),
        image_labels=dict((image.get("Config") or {}).get("Labels") or {}),
        privileged=bool(host.get("Privileged")),
        cap_add=tuple(host.get("CapAdd") or ()),
        pid_mode=str(host.get("PidMode") or ""),
        cgroupns_mode=str(host.get("CgroupnsMode") or ""),
        security_opt=tuple(host.get("SecurityOpt") or ()),
        mounts=tuple(str(m["Source"]) for m in mounts),
        writable_mounts=tuple(str(m["Source"]) for m in mounts if m.get("RW")),
    )
