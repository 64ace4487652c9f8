"""Container sessions on the real kernel: real processes and cgroups, an engine that is not real."""

import secrets
import signal
import subprocess
from typing import Any

import pytest

from tests.root.daemon import ACG, cgroup_of, until
from tests.root.engine import LABELS, Host

pytestmark = pytest.mark.root


def test_a_labelled_container_becomes_a_session_and_ends_with_it(host: Host) -> None:
    cid = host.run(labels={"agentcg.session": "boxed", "agentcg.priority": "7"})
    found = host.opened(cid)
    assert (found["id"], found["priority"], found["runtime"]) == ("boxed", 7, "docker")
    assert host.pids(cid) == []
    assert set(host.pids(cid, "agentcg.agent")) >= {host.inits[cid].pid}
    words = (str(ACG), "run", "--", "cat", "/proc/self/cgroup")
    run = host.inside(cid, *words, stdout=subprocess.PIPE)
    out, _ = run.communicate(timeout=10)
    assert f"/{cid}/agentcg.calls/c-" in out
    long = host.inside(cid, str(ACG), "run", "--call-id", "long", "--", "sleep", "1000")
    until(lambda: "agentcg.calls" in cgroup_of(long.pid), "placement")
    host.die(cid)
    assert long.wait(30) == -signal.SIGKILL
    until(lambda: host.session(cid) is None, "the session to close")
    until(lambda: all(c["state"] == "closed" for c in host.daemon.history()), "the calls to close")


def test_containers_without_label_or_rule_are_left_alone(host: Host) -> None:
    other = host.run(labels={})
    mine = host.run()
    host.opened(mine)
    assert host.session(other) is None
    assert not (host.home(other) / "agentcg.agent").exists()


def test_a_container_can_be_opened_by_name_once(host: Host) -> None:
    cid = host.run(labels={}, name="web")
    body = {"runtime": "docker", "container": "web"}
    made = host.daemon.ask("POST", "/v1/sessions", body)
    assert made.status_code == 201, made.text
    again = host.daemon.ask("POST", "/v1/sessions", {**body, "container": cid})
    assert again.status_code == 409
    unknown = host.daemon.ask("POST", "/v1/sessions", {**body, "container": "nix"})
    assert unknown.status_code == 404
    assert host.daemon.ask("POST", "/v1/sessions", {"runtime": "docker"}).status_code == 422


def test_closing_leaves_the_container_as_it_was_until_it_starts_again(host: Host) -> None:
    cid = host.run()
    before = sorted(host.pids(cid, "agentcg.agent")) if host.opened(cid) else []
    session = host.opened(cid)["id"]
    run = host.inside(cid, str(ACG), "run", "--", "sleep", "1000")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    assert host.daemon.ask("DELETE", f"/v1/sessions/{session}").status_code == 200
    assert run.wait(30) == -signal.SIGKILL
    assert sorted(host.pids(cid)) == before
    assert [p for p in host.home(cid).iterdir() if p.is_dir()] == []
    host.engine.stop()
    host.engine.start()
    another = host.run()
    host.opened(another)
    assert host.session(cid) is None
    host.die(cid)
    host.run(cid)
    host.opened(cid)


def test_nothing_is_missed_while_the_engine_is_away(host: Host) -> None:
    old = host.run()
    host.opened(old)
    host.engine.stop()
    until(lambda: any("not followed" in e for e in host.events()), "the daemon to notice")
    host.die(old)
    new = host.run()
    host.engine.start()
    host.opened(new)
    until(lambda: host.session(old) is None, "the dead container's session to close")
    assert sum("connected again" in e for e in host.events()) == 1


def test_a_container_that_restarted_while_the_engine_was_away_is_another_session(
    host: Host,
) -> None:
    cid = host.run()
    first = host.opened(cid)
    host.engine.stop()
    until(lambda: any("not followed" in e for e in host.events()), "the daemon to notice")
    host.die(cid)
    host.run(cid)
    host.engine.start()
    until(lambda: (host.session(cid) or first)["cgroup_id"] != first["cgroup_id"], "a new session")
    assert host.pids(cid) == []


def test_no_engine_is_told_once(host: Host) -> None:
    host.engine.stop()
    until(lambda: any("not followed" in e for e in host.events()), "the daemon to notice")
    host.daemon.stop()
    count = sum("not followed" in e for e in host.events())
    host.daemon.start()
    until(lambda: sum("not followed" in e for e in host.events()) == count + 1, "the event")
    host.engine.start()
    cid = host.run()
    host.opened(cid)


@pytest.mark.parametrize(
    "facts",
    [{"host": {"Privileged": True}}, {"host": {"CapAdd": ["SYS_ADMIN"]}}],
    ids=["privileged", "capability"],
)
def test_a_container_that_is_not_held_is_only_observed(host: Host, facts: dict[str, Any]) -> None:
    cid = host.run(**facts)
    found = host.opened(cid)
    assert found["observe_only"]
    assert [p for p in host.home(cid).iterdir() if p.is_dir()] == []
    answer = host.daemon.ask("POST", f"/v1/sessions/{found['id']}/calls", {"tool": "bash"})
    assert answer.status_code == 409
    assert found["observe_only"] in answer.text
    checks = host.daemon.ask("GET", "/v1/host").json()["mechanisms"]
    assert any(c["name"] == f"session {found['id']}" and not c["works"] for c in checks)
    # What it runs must not suffer from that.
    run = host.inside(cid, str(ACG), "run", "--", "sh", "-c", "exit 6", below="")
    assert run.wait(30) == 6
    before = host.pids(cid)
    host.daemon.stop(signal.SIGKILL)
    host.daemon.start()
    assert host.opened(cid)["observe_only"]
    assert host.daemon.ask("DELETE", f"/v1/sessions/{found['id']}").status_code == 200
    assert host.pids(cid) == before


def test_a_container_with_cgroups_of_its_own_is_only_observed(host: Host) -> None:
    host.engine.stop()
    cid = host.run()
    (host.home(cid) / "theirs").mkdir()
    host.engine.start()
    assert "theirs" in host.opened(cid)["observe_only"]
    host.daemon.stop(signal.SIGKILL)
    host.daemon.start()
    host.opened(cid)
    assert (host.home(cid) / "theirs").exists()


def test_a_restarted_daemon_goes_on_where_it_was(host: Host) -> None:
    cid = host.run()
    first = host.opened(cid)
    run = host.inside(cid, str(ACG), "run", "--call-id", "k", "--", "sh", "-c", "sleep 3; exit 9")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    host.daemon.stop(signal.SIGKILL)
    host.daemon.start()
    again = host.opened(cid)
    assert (again["id"], again["cgroup_id"]) == (first["id"], first["cgroup_id"])
    assert run.wait(30) == 9
    until(lambda: host.daemon.history()[0]["state"] == "closed", "the call to close")
    assert host.daemon.history()[0]["outcome"]["exit_code"] == 9


def test_a_container_that_restarted_while_the_daemon_was_away_is_another_session(
    host: Host,
) -> None:
    cid = host.run()
    first = host.opened(cid)
    run = host.inside(cid, str(ACG), "run", "--", "sleep", "1000")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    host.daemon.stop(signal.SIGKILL)
    host.die(cid)
    assert run.wait(30) == -signal.SIGKILL
    host.run(cid)
    host.daemon.start()
    until(lambda: (host.session(cid) or first)["cgroup_id"] != first["cgroup_id"], "a new session")
    [call] = host.daemon.history()
    assert call["state"] == "closed"
    assert host.pids(cid) == []


def test_a_process_of_another_host_is_not_taken_for_an_init(host: Host) -> None:
    """An engine whose socket was forwarded: its pids mean other processes here."""
    cid = secrets.token_hex(32)
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        before = cgroup_of(stranger.pid)
        host.engine.run(cid, pid=stranger.pid, labels=LABELS)
        until(lambda: any("does not run on this host" in e for e in host.events()), "the refusal")
        assert cgroup_of(stranger.pid) == before
        stranger.kill()
    host.engine.die(cid)
