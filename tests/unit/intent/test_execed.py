"""What a container runtime is asked to execute, and the intent of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError
from agentcg.intent.execed import Exec, parse
from agentcg.model.intent import OnEnd
from agentcg.model.rule import CommandRule

CID, ID = "c" * 64, "e" * 64
PID_FILE = f"/run/containerd/moby/{CID}/{ID}.pid"
# As containerd 1.7 calls it.
WORDS = (
    *("--root", "/r", "--log", "/l", "--log-format", "json", "--systemd-cgroup", "exec"),
    *("--process", "/tmp/runc-process1", "--detach", "--pid-file", PID_FILE, CID),
)


def process(*args: object, env: object = ()) -> str:
    return json.dumps({"args": args, "env": env, "oomScoreAdj": 0})


def asked(*args: str, hint: str | None = None) -> Exec:
    return Exec(CID, ID, args, hint)


def test_an_exec_of_docker() -> None:
    env = ["PATH=/bin", "AGENT_RESOURCE_HINT=memory:2g", "AGENT_RESOURCE_HINT=memory:1g"]
    found = parse(WORDS, process("bash", "-lc", "pytest -q", env=env))
    assert found == asked("bash", "-lc", "pytest -q", hint="memory:2g")
    intent = found.intent(())
    assert (intent.command, intent.key, intent.tool) == ("pytest -q", f"exec-{ID}", "exec")
    assert (intent.memory.limit, intent.on_end) == (2 << 30, OnEnd.KEEP)


def test_a_process_that_was_too_long_leaves_the_command_unknown() -> None:
    found = parse(WORDS, None)
    assert found == asked()
    assert found.intent(()).command == ""
    assert not found.asks_itself
    assert not found.is_agent(("claude",))


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("exec",),
        ("state", CID),
        (*WORDS[:8], "--cgroup=/x", *WORDS[8:]),
        tuple(word for word in WORDS if word not in ("--pid-file", PID_FILE)),
        ("exec", "--pid-file=/x/../.pid", CID),
        ("exec", f"--pid-file=/{'x' * 101}.pid", CID),
    ],
)
def test_other_arguments_are_none(words: tuple[str, ...]) -> None:
    assert parse(words, process("true")) is None


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "1", '"exec"'])
def test_a_process_that_is_no_object_is_none(text: str) -> None:
    assert parse(WORDS, text) is None


@pytest.mark.parametrize("text", ["{}", '{"args": 5, "env": {}}', '{"args": [1, null]}'])
def test_what_is_odd_in_it_is_not_there(text: str) -> None:
    assert parse(WORDS, text) == asked()


@given(st.lists(st.text()), st.lists(st.text()) | st.none(), st.text())
def test_any_command_makes_an_intent(args: list[str], env: list[str] | None, junk: str) -> None:
    found = parse(WORDS, process(*args, env=env))
    assert found is not None
    found.plain_intent(())
    assert isinstance(found.asks_itself, bool)
    parse([junk, *args, "exec", junk, *args], junk)


def test_hints_and_rules() -> None:
    rules = (CommandRule.model_validate({"command": "*pytest*", "memory": {"limit": "4GiB"}}),)
    assert asked("pytest").intent(rules).memory.limit == 4 << 30
    assert asked("pytest", hint="memory:2g").intent(rules).memory.limit == 2 << 30
    line = "AGENT_RESOURCE_HINT=memory:1g pytest"
    found = asked("/bin/bash", "-c", line, hint="memory:2g")
    assert found.intent(rules).memory.limit == 1 << 30
    with pytest.raises(BadValueError, match="'lots'"):
        asked("pytest", hint="memory:lots").intent(rules)
    assert asked("pytest", hint="memory:lots").plain_intent(rules).memory.limit == 4 << 30


def test_a_long_line_is_cut() -> None:
    assert len(asked("sh", "-c", "\ud800" * 40_000).intent(()).command or "") == 32768


@pytest.mark.parametrize(
    "args",
    [
        ("/run/agentcg/agent/acg", "run", "--memory", "1g", "--", "make"),
        ("acg", "hook", "codex"),
        ("/x/acg-shell", "ls"),
        ("bash", "-lc", " exec acg run -- make"),
        ("sh", "-e", "-c", "A=1 B=2 /x/acg run -- make"),
    ],
)
def test_a_client_of_ours_asks_by_itself(args: tuple[str, ...]) -> None:
    assert asked(*args).asks_itself


@pytest.mark.parametrize(
    "args",
    [
        ("acg", "--version"),
        ("acg",),
        ("sh", "-c", "acg run -- make; make install"),
        ("sh", "-c", "acg run -- true $(./hog)"),
        ("sh", "-c", "cd /x && acg run -- make & ./hog"),
        ("sh", "acg", "run"),
        ("sh", "-c"),
        ("echo", "acg", "run"),
    ],
)
def test_what_has_one_inside_is_a_call(args: tuple[str, ...]) -> None:
    assert not asked(*args).asks_itself


def test_a_harness_is_no_call() -> None:
    names = ("claude", "codex")
    assert asked("/usr/bin/claude", "-p", "x").is_agent(names)
    assert asked("bash", "-lc", "HOME=/x exec codex exec 'y'").is_agent(names)
    assert asked("bash", "-lc", "cd /work && env A=1 claude -p x").is_agent(names)
    assert not asked("which", "claude").is_agent(names)
    assert not asked("bash", "-c", "claude -v; ./hog").is_agent(names)
    assert not asked("bash", "-c", "claude -p $(./hog)").is_agent(names)
    assert not asked("claudette").is_agent(names)
