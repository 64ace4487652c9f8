"""Where an agent lives: a container of the local engine, or a bare session where there is none."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agentcg.client import Client
from agentcg.errors import AgentcgError, NotFoundError, UnavailableError
from vm_tests import busybox
from vm_tests.demo.plan import Tenant

_IMAGE = "agentcg-test/busybox"
_SHARED = "/run/agentcg/agent"
_ACG = f"{_SHARED}/acg"
_TOUCHER = "/bin/toucher"
_ENTER = 'echo 0 > "$0/cgroup.procs" && exec sh'
_MIB = 1 << 20


@dataclass(frozen=True)
class Home:
    """A way to make sessions.

    `enter` makes a tenant's session and yields the command that starts the agent's shell in it; at
    its end all of that is gone. `acg` and `toucher` are what the shell calls.
    """

    kind: str
    acg: str
    toucher: str
    enter: Callable[[Tenant], AbstractContextManager[Sequence[str]]]


def choose(client: Client, toucher: Path, acg: Path, cgroups: Path) -> Home:
    """Containers if an engine is there that can run them, else bare sessions."""
    try:
        _need_image()
    except (AgentcgError, OSError) as error:
        enter = partial(_bare, client, cgroups)
        return Home(f"bare sessions ({error})", str(acg), str(toucher), enter)
    return Home("containers", _ACG, _TOUCHER, partial(_container, toucher))


@contextmanager
def _container(toucher: Path, tenant: Tenant) -> Iterator[Sequence[str]]:
    """Create a container whose first process is the shell; the daemon takes it up by itself."""
    labels = [f"agentcg.session={tenant.session}", f"agentcg.priority={tenant.priority}"]
    labels += [f"agentcg.guarantee={tenant.guarantee}MiB"] if tenant.guarantee else []
    mounts = (f"{_SHARED}:{_SHARED}:ro", f"{toucher}:{_TOUCHER}:ro")
    memory = f"{tenant.memory}m"
    command = ["create", "--interactive", "--name", tenant.session, "--network", "none"]
    command += ["--cgroup-parent", "agentcg.slice", "--workdir", "/work"]
    command += ["--memory", memory, "--memory-swap", memory]
    # Docker's 1024 shares are the kernel's weight of 100; runc keeps the ratio.
    command += ["--cpu-shares", str(tenant.weight * 1024 // 100)]
    command += [word for label in labels for word in ("--label", label)]
    command += [word for mount in mounts for word in ("--volume", mount)]
    _remove(tenant.session)  # a demo that was killed left it
    _docker(*command, _IMAGE, "/bin/sh")
    try:
        yield ["docker", "start", "--attach", "--interactive", tenant.session]
    finally:
        _remove(tenant.session)


@contextmanager
def _bare(client: Client, cgroups: Path, tenant: Tenant) -> Iterator[Sequence[str]]:
    """Open the session, and give it the CPU weight that a container gets from its engine."""
    with contextlib.suppress(NotFoundError):
        client.close_session(tenant.session)  # a demo that was killed left it
    budget = {"memory": tenant.memory * _MIB, "guarantee": tenant.guarantee * _MIB}
    body = {"runtime": "bare", "id": tenant.session, "name": tenant.session}
    view = client.open_session({**body, "priority": tenant.priority, "budget": budget})
    cgroup = cgroups / view.session.cgroup
    weight = cgroup / "cpu.weight"
    try:
        if weight.exists():  # not without the cpu controller
            weight.write_text(str(tenant.weight), encoding="ascii")
        yield ["sh", "-c", _ENTER, str(cgroup / "agentcg.agent")]
    finally:
        with contextlib.suppress(AgentcgError):
            client.close_session(tenant.session)


def _need_image() -> None:
    """Raise if the engine is not there, or not fit, or has no image and none can be made."""
    if not Path(_ACG).exists():
        raise UnavailableError(f"no {_ACG} that a container could mount")
    driver = _docker("info", "--format", "{{.CgroupDriver}}").strip()
    if driver != "systemd":
        raise UnavailableError(f"the engine's cgroup driver is {driver or 'unknown'}")
    try:
        _docker("image", "inspect", _IMAGE)
    except UnavailableError:
        program = shutil.which("busybox")
        if program is None:
            raise UnavailableError("no busybox to make an image of") from None
        _docker("import", "-", _IMAGE, stdin=busybox.archive(Path(program).resolve()))


def _docker(*words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["docker", *words], input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise UnavailableError(f"docker {words[0]}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def _remove(container: str) -> None:
    """Remove it if it is there."""
    subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False)
