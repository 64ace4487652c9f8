"""The docker SDK against an engine on a Unix socket."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.errors import ConflictError, NotFoundError, UnavailableError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.sandbox import docker
from agentcg.sandbox.docker import Engine, Happening
from tests.unit.sandbox.dockerd import Dockerd, running

CID = "c0ffee" + "0" * 58


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Dockerd]:
    with running(tmp_path / "docker.sock") as made:
        yield made


def test_facts_of_a_container(engine: Dockerd) -> None:
    engine.images["sha256:img"] = {"Config": {"Labels": {"from": "image"}}}
    engine.run(
        CID,
        name="web",
        pid=77,
        image="swe-bench:1",
        labels={"a": "b", "from": "image"},
        host={
            "Privileged": True,
            "CapAdd": ["SYS_ADMIN"],
            "PidMode": "host",
            "CgroupnsMode": "private",
            "SecurityOpt": ["writable-cgroups=true"],
        },
        mounts=[
            {"Type": "bind", "Source": "/run/docker.sock", "RW": True},
            {"Type": "bind", "Source": "/etc", "RW": False},
            {"Type": "tmpfs", "Source": ""},
        ],
    )
    for name in (CID, "web"):
        found = Engine(engine.socket).container(name)
        assert (found.id, found.name, found.image, found.pid) == (CID, "web", "swe-bench:1", 77)
        assert found.running
        assert found.labels == {"a": "b", "from": "image"}
        assert found.image_labels == {"from": "image"}
        assert found.privileged
        assert (found.cap_add, found.pid_mode, found.cgroupns_mode) == (
            ("SYS_ADMIN",),
            "host",
            "private",
        )
        assert found.mounts == ("/run/docker.sock", "/etc")
        assert found.writable_mounts == ("/run/docker.sock",)


def test_labels_count_as_the_images_when_the_image_is_gone(engine: Dockerd) -> None:
    engine.images.clear()
    engine.run(CID, labels={"agentcg.priority": "100"})
    found = Engine(engine.socket).container(CID)
    assert found.image_labels == found.labels


def test_an_unknown_container_is_not_found(engine: Dockerd) -> None:
    with pytest.raises(NotFoundError, match="No such container: nix"):
        Engine(engine.socket).container("nix")


def test_no_engine_is_said_and_costs_no_time(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No such file"):
        Engine(tmp_path / "none").running()
    (tmp_path / "stale").touch()
    with pytest.raises(UnavailableError, match="stale: Connection refused"):
        Engine(tmp_path / "stale").running()


def test_an_engine_that_hangs_is_given_up(engine: Dockerd) -> None:
    engine.slow = 3.0
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        Engine(engine.socket, timeout=1).running()
    assert time.monotonic() - began < 2.9


def test_events_come_in_order_and_closing_ends_the_iteration(engine: Dockerd) -> None:
    got: list[Happening] = []
    ready = threading.Event()

    def follow() -> None:
        with Engine(engine.socket).events() as events:
            holder.append(events)
            ready.set()
            got.extend(events)

    holder: list[docker.Events] = []
    thread = threading.Thread(target=follow)
    thread.start()
    assert ready.wait(30)
    engine.run(CID)
    engine.tell("exec_start: sh", CID)
    engine.die(CID)
    end = time.monotonic() + 30
    while len(engine.subscribers) and time.monotonic() < end and len(got) < 2:
        time.sleep(0.01)
    holder[0].close()
    holder[0].close()
    thread.join(30)
    assert not thread.is_alive()
    assert got == [Happening("start", CID), Happening("die", CID)]


def test_an_engine_that_stops_ends_the_events(engine: Dockerd) -> None:
    with Engine(engine.socket).events() as events:
        threading.Timer(0.1, engine.stop).start()
        assert list(events) == []


@pytest.fixture
def root(tmp_path: Path) -> Iterator[CgroupDir]:
    home = tmp_path / "cgroup/agentcg.slice" / f"docker-{CID}.scope"
    home.mkdir(parents=True)
    (home / "cgroup.subtree_control").write_text("")
    with CgroupDir.open(tmp_path / "cgroup") as top:
        yield top


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where every process is, for as long as the test says so."""
    path = [f"/agentcg.slice/docker-{CID}.scope"]
    monkeypatch.setattr(procfs, "cgroup_path", lambda _: path[0])
    return path


def _cgroup_of(path: str, container: str, agent: str) -> tuple[str, str | None]:
    assert container == CID
    parts = path.strip("/").removesuffix(f"/{agent}")
    return parts, None


def _home(engine: Dockerd, root: CgroupDir) -> docker.Home:
    client = Engine(engine.socket)
    return docker.home(client, client.container(CID), root=root, cgroup_of=_cgroup_of)


@pytest.mark.usefixtures("where")
def test_home_is_found_by_the_init_process(engine: Dockerd, root: CgroupDir) -> None:
    engine.run(CID, pid=os.getpid())
    home = _home(engine, root)
    assert home.path == f"agentcg.slice/docker-{CID}.scope"
    assert home.odd is None
    home.cgroup.close()


@pytest.mark.usefixtures("where")
def test_a_container_that_does_not_run_has_no_home(engine: Dockerd, root: CgroupDir) -> None:
    engine.run(CID, pid=0)["State"]["Running"] = False
    with pytest.raises(ConflictError, match="does not run"):
        _home(engine, root)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("change", [{"Pid": 1}, {"StartedAt": "later"}, {"Running": False}])
def test_a_container_that_restarts_meanwhile_is_not_taken(
    engine: Dockerd, root: CgroupDir, change: dict[str, object]
) -> None:
    raw = engine.run(CID, pid=os.getpid())
    found = Engine(engine.socket).container(CID)
    raw["State"].update(change)
    with pytest.raises(ConflictError, match="restarted meanwhile"):
        docker.home(Engine(engine.socket), found, root=root, cgroup_of=_cgroup_of)


@pytest.mark.parametrize(
    ("children", "enabled", "why"),
    [
        (["init"], "", "made cgroups of its own"),
        ([], "memory", "enabled controllers"),
        (["agentcg.agent", "agentcg.calls"], "memory cpu", None),
    ],
)
def test_a_cgroup_with_another_owner_is_odd(
    engine: Dockerd,
    root: CgroupDir,
    where: list[str],
    children: list[str],
    enabled: str,
    why: str | None,
) -> None:
    home = root.path / where[0].strip("/")
    for name in children:
        (home / name).mkdir()
    (home / "cgroup.subtree_control").write_text(enabled)
    engine.run(CID, pid=os.getpid())
    found = _home(engine, root)
    found.cgroup.close()
    assert found.odd is None if why is None else why in str(found.odd)


@pytest.mark.usefixtures("where")
def test_a_container_with_its_own_systemd_is_odd(
    engine: Dockerd, root: CgroupDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procfs, "comm", lambda _: "systemd")
    engine.run(CID, pid=os.getpid())
    found = _home(engine, root)
    found.cgroup.close()
    assert "its own systemd" in str(found.odd)
