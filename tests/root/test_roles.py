"""Who may do what: a caller's cgroup says who it is, whatever socket, uid or JSON it uses."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentcg.api.controller import Role
from tests.root.daemon import ACG, REPO, RUN, Daemon, cgroup_of, until

pytestmark = pytest.mark.root

ASK = str(Path(__file__).with_name("ask.py"))
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
ADMIN, AGENT = str(RUN / "admin.sock"), str(RUN / "agent/sock")


def _ask(
    daemon: Daemon, socket: str, method: str, path: str, body: Any = None, *, prefix: Any = ()
) -> tuple[int, Any]:
    """Ask from inside session "one"; `prefix` puts something before the client."""
    words = [*prefix, sys.executable, ASK, socket, method, path]
    if body is not None:
        words.append(json.dumps(body))
    out, _ = daemon.inside(*words, stdout=subprocess.PIPE).communicate(timeout=20)
    answer = json.loads(out)
    return answer["status"], answer["body"]


@pytest.fixture
def other(daemon: Daemon) -> Any:
    """A call of another session."""
    daemon.open("two", priority=50)
    made = daemon.ask("POST", "/v1/sessions/two/calls", {"tool": "bash"})
    return made.json()["call"]["id"]


@pytest.mark.parametrize("socket", [ADMIN, AGENT])
def test_a_session_sees_itself_alone_at_either_door(
    daemon: Daemon, other: str, socket: str
) -> None:
    status, body = _ask(daemon, socket, "GET", "/v1/sessions")
    assert status == 200
    assert [v["session"]["id"] for v in body] == ["one"]
    assert _ask(daemon, socket, "GET", "/v1/calls?all=true") == (200, [])
    assert _ask(daemon, socket, "GET", "/v1/sessions/two")[0] == 404
    assert _ask(daemon, socket, "POST", "/v1/sessions/two/calls", {"tool": "x"})[0] == 404
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("POST", "/kill"),
        ("POST", "/freeze"),
        ("POST", "/thaw"),
        ("POST", "/end"),
    ):
        status, _ = _ask(daemon, socket, method, f"/v1/calls/{other}{path}", {})
        assert status == 404, (method, path)
    assert daemon.call(other)["state"] == "declared"


@pytest.mark.parametrize("socket", [ADMIN, AGENT])
def test_a_session_can_neither_open_nor_close_sessions(daemon: Daemon, socket: str) -> None:
    for body in ({"runtime": "bare"}, {"runtime": "bare", "pid": 1}, {"runtime": "self"}):
        assert _ask(daemon, socket, "POST", "/v1/sessions", body)[0] in (403, 409)
    assert _ask(daemon, socket, "DELETE", "/v1/sessions/one")[0] == 403
    assert daemon.ask("GET", "/v1/sessions/one").status_code == 200


def test_a_session_does_not_see_the_calls_of_an_earlier_namesake(daemon: Daemon) -> None:
    daemon.acg("--", "true").wait(20)
    until(lambda: daemon.history()[0]["state"] == "closed", "the call to close")
    old = daemon.history()[0]["id"]
    assert _ask(daemon, AGENT, "GET", f"/v1/calls/{old}")[0] == 200
    assert daemon.ask("DELETE", "/v1/sessions/one").status_code == 200
    daemon.open("one")
    assert _ask(daemon, AGENT, "GET", f"/v1/calls/{old}")[0] == 404
    assert _ask(daemon, AGENT, "GET", "/v1/calls?all=true") == (200, [])
    assert daemon.call(old)["state"] == "closed"


def test_a_call_speaks_for_itself_alone(daemon: Daemon) -> None:
    sibling = daemon.ask("POST", "/v1/sessions/one/calls", {"tool": "bash"}).json()["call"]["id"]
    prefix = (str(ACG), "run", "--")
    status, body = _ask(daemon, AGENT, "GET", "/v1/calls", prefix=prefix)
    assert status == 200
    assert len(body) == 1
    assert body[0]["call"]["id"] != sibling
    for method, path in (
        ("GET", f"/v1/calls/{sibling}"),
        ("DELETE", f"/v1/calls/{sibling}"),
        ("GET", "/v1/sessions/one"),
        ("DELETE", "/v1/sessions/one"),
    ):
        assert _ask(daemon, AGENT, method, path, prefix=prefix)[0] in (403, 404)
    status, _ = _ask(daemon, AGENT, "POST", "/v1/sessions/self/calls", {}, prefix=prefix)
    assert status == 403


def test_acg_inside_a_call_stays_in_that_call(daemon: Daemon) -> None:
    script = '"$0" run -- grep ^0:: /proc/self/cgroup; grep ^0:: /proc/self/cgroup'
    run = daemon.acg("--", "sh", "-c", script, str(ACG), stdout=subprocess.PIPE)
    out, _ = run.communicate(timeout=20)
    inner, outer = out.splitlines()
    assert inner == outer
    until(lambda: not daemon.leaves(), "the leaf to go")
    assert len(daemon.history()) == 1


def test_only_a_fresh_process_can_be_placed(daemon: Daemon) -> None:
    threaded = (
        "import threading,time,runpy,sys;"
        "threading.Thread(target=time.sleep,args=(5,),daemon=True).start();"
        f"sys.argv=[{ASK!r},{AGENT!r},'POST','/v1/sessions/self/calls','{{\"place\":\"peer\"}}'];"
        f"runpy.run_path({ASK!r},run_name='__main__')"
    )
    run = daemon.inside(sys.executable, "-c", threaded, stdout=subprocess.PIPE)
    out, _ = run.communicate(timeout=20)
    assert json.loads(out)["status"] == 409
    assert "threads" in json.loads(out)["body"]["detail"]
    assert daemon.leaves() == []
    assert daemon.ask("GET", "/v1/calls").json() == []


def test_strangers_get_nothing(daemon: Daemon) -> None:
    assert daemon.ask("GET", "/v1/sessions", door="agent").json() == []
    assert daemon.ask("GET", "/v1/sessions/one", door="agent").status_code == 404
    assert daemon.ask("GET", "/v1/host", door="agent").status_code == 403
    assert daemon.ask("POST", "/v1/sessions", {"runtime": "self"}, "agent").status_code == 403
    body = {"runtime": "bare", "pid": 1}
    assert daemon.ask("POST", "/v1/sessions", body, "agent").status_code == 403


def test_priority_and_budget_cannot_be_raised_from_inside(daemon: Daemon) -> None:
    body = {"tool": "bash", "priority": 100, "memory": {"guarantee": "4GiB"}}
    status, made = _ask(daemon, AGENT, "POST", "/v1/sessions/self/calls", body)
    assert status == 201
    grant = made["call"]["grant"]
    assert grant["priority"] == 0
    assert grant["memory_guarantee"] == 0
    assert len(grant["notes"]) == 2
    path = f"/v1/calls/{made['call']['id']}"
    status, made = _ask(daemon, AGENT, "PATCH", path, {"memory": {"guarantee": "1GiB"}})
    assert status == 200
    assert made["call"]["grant"]["memory_guarantee"] == 0


@pytest.mark.parametrize(
    "daemon", [{"self_sessions": {"enabled": True, "per_uid": 2}}], indirect=True
)
def test_sessions_opened_for_oneself_are_bounded_per_uid_over_a_restart(daemon: Daemon) -> None:
    asking: list[subprocess.Popen[str]] = []

    def ask(many: int) -> list[int]:
        """Ask from processes of their own, all at once; each lives on in its session."""
        words = [ASK, AGENT, "POST", "/v1/sessions", json.dumps({"runtime": "self"})]
        script = (
            f"import runpy, sys; sys.argv = {words}; runpy.run_path({ASK!r}, run_name='__main__'); "
            "print(flush=True); sys.stdin.read()"
        )
        new = [
            subprocess.Popen([sys.executable, "-c", script], text=True, **PIPES)
            for _ in range(many)
        ]
        asking.extend(new)
        lines = [one.stdout.readline() for one in new if one.stdout is not None]
        return sorted(json.loads(line)["status"] for line in lines)

    try:
        assert ask(5) == [201, 201, 429, 429, 429]
        daemon.stop(signal.SIGKILL)
        daemon.start()
        assert ask(1) == [429]
    finally:
        for one in asking:
            one.communicate()
    until(lambda: len(daemon.ask("GET", "/v1/sessions").json()) == 1, "the sessions to go")


def test_open_calls_are_bounded(daemon: Daemon) -> None:
    daemon.open("small", budget={"calls": 3})
    path = "/v1/sessions/small/calls"
    codes = [daemon.ask("POST", path, {"tool": "x"}).status_code for _ in range(5)]
    assert codes == [201, 201, 201, 429, 429]


@pytest.mark.parametrize(
    ("target", "words"),
    [(1, "init"), ("daemon", "daemon"), ("inside", "session already")],
)
def test_forbidden_targets_are_refused_with_the_reason(
    daemon: Daemon, target: Any, words: str
) -> None:
    assert daemon.process is not None
    agent = daemon.inside("sleep", "60")
    until(lambda: "agentcg.agent" in cgroup_of(agent.pid), "the agent")
    pid = {"daemon": daemon.process.pid, "inside": agent.pid}.get(target, target)
    answer = daemon.ask("POST", "/v1/sessions", {"runtime": "bare", "id": "bad", "pid": pid})
    assert answer.status_code == 409
    assert words in answer.json()["detail"]
    assert not daemon.session("bad").exists()
    agent.kill()
    agent.wait()


def test_a_session_taken_from_a_running_tree_gives_it_back(daemon: Daemon) -> None:
    tree = subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"])
    before = cgroup_of(tree.pid)
    daemon.open("taken", pid=tree.pid)
    assert "taken/agentcg.agent" in cgroup_of(tree.pid)
    assert daemon.ask("DELETE", "/v1/sessions/taken").status_code == 200
    assert cgroup_of(tree.pid) == before
    assert tree.poll() is None
    subprocess.run(["pkill", "-P", str(tree.pid)], check=True)
    tree.wait()
    assert not daemon.session("taken").exists()


@pytest.mark.parametrize("daemon", [{"self_sessions": {"enabled": True}}], indirect=True)
def test_the_api_serves_whom_its_description_names(daemon: Daemon) -> None:
    paths = json.loads((REPO / "docs/reference/openapi.json").read_text())["paths"]
    operations = [(path, method) for path, methods in paths.items() for method in methods]
    # Closing the session comes last, and its administrator after all others.
    operations.sort(key=lambda one: one == ("/v1/sessions/{session}", "delete"))
    asked = 0
    for path, method in operations:
        for role in reversed(Role):
            serves = role.value in paths[path][method]["x-roles"]
            own = role is Role.CALL and path.startswith("/v1/calls/{call}")
            if path.startswith("/v1/acg/") or (path == "/v1/events" and serves):
                continue  # they have a format of their own; it never ends
            if own and (path.endswith(("/end", "/kill", "/freeze")) or method == "delete"):
                continue  # the asker would not live to read the answer
            status = _as(daemon, role, method.upper(), path)
            assert (status not in (403, 404)) == serves, (role, method, path, status)
            asked += 1
    assert asked > 50


def _as(daemon: Daemon, role: Role, method: str, path: str) -> int:
    """Ask in a role, about the session "one" and a call of it; a call asks about itself."""
    body: dict[str, Any] = {}
    if path == "/v1/sessions":
        body = {"runtime": "self" if role is Role.NOBODY else "bare"}
    path = path.replace("{session}", "one").replace("{harness}", "claude-code")
    if role is Role.CALL:
        path = path.replace("{call}", "$AGENTCG_CALL")
        words = f'"$0" "$1" {AGENT} {method} "{path}" "$2"'
        run = (str(ACG), "run", "--", "sh", "-c", words, sys.executable, ASK, json.dumps(body))
        told, _ = daemon.inside(*run, stdout=subprocess.PIPE).communicate(timeout=20)
        return int(json.loads(told)["status"])
    if "{call}" in path:
        made = daemon.ask("POST", "/v1/sessions/one/calls", {"tool": "bash"}).json()
        path = path.replace("{call}", made["call"]["id"])
    if role is Role.SESSION:
        return _ask(daemon, AGENT, method, path, body)[0]
    if role is Role.ADMIN:
        return int(daemon.ask(method, path, body).status_code)
    out = subprocess.check_output([sys.executable, ASK, AGENT, method, path, json.dumps(body)])
    return int(json.loads(out)["status"])


@pytest.mark.parametrize("daemon", [{"self_sessions": {"enabled": True}}], indirect=True)
def test_a_session_of_ones_own_cannot_choose_to_be_observed_only(daemon: Daemon) -> None:
    body = json.dumps({"runtime": "self", "undeclared": "observe", "priority": 7})
    out = subprocess.check_output([sys.executable, ASK, AGENT, "POST", "/v1/sessions", body])
    answer = json.loads(out)
    assert answer["status"] == 201
    session = answer["body"]["session"]
    assert (session["undeclared"], session["priority"]) == ("cap", 0)


@pytest.mark.parametrize(("uid", "named"), [(0, True), (65534, False)])
def test_doctor_names_a_session_whose_processes_can_leave_it(
    daemon: Daemon, uid: int, named: bool
) -> None:
    agent = daemon.inside("setpriv", f"--reuid={uid}", "--clear-groups", "sleep", "60")
    until(lambda: f"Uid:\t{uid}\t" in Path(f"/proc/{agent.pid}/status").read_text(), "the uid")
    checks = daemon.ask("GET", "/v1/host").json()["mechanisms"]
    found = [c["detail"] for c in checks if c["name"] == "session one"]
    assert ["root" in detail for detail in found] == [True] * named
    agent.kill()
    agent.wait()
