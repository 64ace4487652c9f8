"""Anything at all as a hook's stdin, over the real socket: never a 5xx, mostly silence."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agentcg.harness.wiring import WIRINGS
from tests.root.daemon import RUN, Daemon, scale, until
from tests.unit.harness.documented import BASE

pytestmark = pytest.mark.root

EXAMPLES = scale(300, 5000)
EVENTS = sorted({event for wiring in WIRINGS.values() for event in wiring.events})
COMMANDS = ["make", "AGENT_RESOURCE_HINT=memory:2g make", "AGENT_RESOURCE_HINT=memory:lots make"]
WRONG_HINT = {**BASE["codex"], "tool_input": {"command": COMMANDS[2]}, "tool_use_id": "last"}
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A documented hook with faults in fields, in text, or no hook at all."""
    harness = draw(st.sampled_from(sorted(BASE)))
    doc = dict(BASE[harness])
    name = "event_type" if harness == "openhands" else "hook_event_name"
    doc[name] = draw(st.sampled_from(EVENTS))
    doc |= draw(st.dictionaries(st.sampled_from(sorted(doc)), WILD, max_size=3))
    if isinstance(doc.get("tool_input"), dict):
        doc["tool_input"] = {**doc["tool_input"], "command": draw(WILD | st.sampled_from(COMMANDS))}
    body = json.dumps(doc).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=20)) + body[at + draw(st.integers(0, 5)) :]
    return harness, draw(st.sampled_from([body, body * 3]) | st.binary(max_size=200))


@pytest.mark.timeout(scale(60, 1200))
def test_no_stdin_of_any_dialect_is_a_server_error(daemon: Daemon, tmp_path: Path) -> None:
    port = tmp_path / "port"
    bridge = daemon.inside(
        sys.executable,
        str(Path(__file__).with_name("bridge.py")),
        str(port),
        str(RUN / "agent/sock"),
    )
    until(lambda: port.exists() and port.read_text(), "the bridge")
    answers: list[int] = []
    with httpx2.Client(base_url=f"http://127.0.0.1:{port.read_text()}", timeout=20) as client:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(bodies())
        def hold(one: tuple[str, bytes]) -> None:
            harness, body = one
            answer = client.post(f"/v1/hooks/{harness}", content=body)
            assert answer.status_code == 200, (harness, body)
            _is_words_or_nothing(answer.content)
            answers.append(len(answer.content))

        hold()
        # After all that it still understands.
        answer = client.post("/v1/hooks/codex", content=json.dumps(WRONG_HINT))
        assert b"AGENT_RESOURCE_HINT memory 'lots'" in answer.content
    bridge.kill()
    bridge.wait()
    counters: Any = daemon.ask("GET", "/v1/host").json()["counters"]
    # Of both kinds there are many: understood and not.
    assert counters["hooks"] == len(answers) + 1 > EXAMPLES
    assert EXAMPLES * 0.1 < counters["hook_faults"] < EXAMPLES * 0.95
    assert "Traceback" not in daemon.log


def _is_words_or_nothing(out: bytes) -> None:
    """A hook that says "allow", or anything else that decides, would be worse than none."""
    said = json.loads(out) if out else {}
    inner = said.pop("hookSpecificOutput", {})
    assert set(said) | set(inner) <= {"hookEventName", "additionalContext"}


@pytest.mark.parametrize("said", [b"", b"{", b"\0\xff\xfe", b'{"a":' * 50_000, b"x" * 3_000_000])
def test_what_is_no_hook_is_answered_by_nothing(daemon: Daemon, said: bytes) -> None:
    for harness in WIRINGS:
        done = daemon.hook(harness, said)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_fields_of_tomorrow_are_carried_over(daemon: Daemon) -> None:
    """Silence, as today, and an announcement: what is new does not hide what is known."""
    for harness, doc in BASE.items():
        said = json.dumps({**doc, "of_tomorrow": {"a": [None, 1e300]}}).encode()
        done = daemon.hook(harness, said)
        assert (done.returncode, done.stdout) == (0, b"")
    counters = daemon.ask("GET", "/v1/host").json()["counters"]
    assert (counters["hooks"], counters["hook_faults"]) == (len(BASE), 0)
