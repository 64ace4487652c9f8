"""`agentcg probe` with its six questions: what a call does is shown, on every kernel."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vm_tests.guest.sandbox import EAT, MIB, Sandbox, sandbox, until

pytestmark = pytest.mark.vm

NASTY = "\x1b]0;x\x07<script>"
FILE = Path("/var/tmp/probed")  # on the disk: /tmp is memory
CONNECT = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
WRITE = ["dd", "if=/dev/zero", f"of={FILE}", "bs=1M", "count=4", "oflag=direct"]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with sandbox("probed") as made:
        yield made


@contextlib.contextmanager
def probing(question: str, out: Path, *words: str) -> Iterator[None]:
    """The command at work; at the end it is interrupted, and prints what it sums up."""
    command = ["/opt/agentcg/bin/agentcg", "probe", question, "--session", "probed", *words]
    with out.open("w") as file:
        probe = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, text=True)
        assert probe.stderr is not None
        try:
            assert probe.stderr.readline() == f"agentcg: probing {question}\n"
            yield
            probe.send_signal(signal.SIGINT)
            assert probe.wait(60) == 0, probe.stderr.read()
        finally:
            probe.kill()
            probe.wait()
            probe.stderr.close()


def run(box: Sandbox, *argv: str) -> str:
    """Run a call to its end; its id."""
    return box.ended(box.run("--memory", "64MiB", "--", *argv)).call.id


@pytest.mark.parametrize(
    ("question", "argv", "expected"),
    [
        ("exec", ["/bin/echo", NASTY], {"text": f"/bin/echo '{NASTY}'"}),
        ("open", ["cat", "/no/such"], {"text": "/no/such", "result": -2, "program": "cat"}),
        ("connect", ["python3", "-c", CONNECT], {"text": "127.0.0.1:9", "program": "python3"}),
        ("oom", ["python3", "-c", EAT.format(mib=100, hold=0)], {"program": "python3"}),
        ("blockio", WRITE, {"pid": 0, "result": 0, "program": ""}),
    ],
)
def test_what_a_call_does_is_told(
    box: Sandbox, tmp_path: Path, question: str, argv: list[str], expected: dict[str, Any]
) -> None:
    out = tmp_path / "told"

    def fitting() -> list[dict[str, Any]]:
        told = [json.loads(line) for line in out.read_text().splitlines() if line.endswith("}")]
        found = [one for one in told if expected.items() <= one.items()]
        if question == "blockio":
            found = [one for one in found if one["text"].startswith("write ")]
        enough = question != "blockio" or sum(one["bytes"] for one in found) >= 4 * MIB
        return found if enough else []

    try:
        with probing(question, out, "-o", "json"):
            call = run(box, *argv)
            found = until(fitting, "the records")
    except AssertionError as error:
        raise AssertionError(f"{error}; told was:\n{out.read_text()[:4000]}") from error
    finally:
        FILE.unlink(missing_ok=True)
    assert {one["call"] for one in found} == {call}
    if question == "blockio":
        assert all(one["took"] > 0 for one in found)


def test_system_calls_are_counted(box: Sandbox, tmp_path: Path) -> None:
    with probing("syscalls", tmp_path / "told"):
        run(box, "python3", "-c", "import os\nfor _ in range(50): os.getppid()")
    rows = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert ["getppid", "50", "0"] in [row[:3] for row in rows]


def test_an_argument_does_nothing_to_the_terminal(box: Sandbox, tmp_path: Path) -> None:
    with probing("exec", tmp_path / "told"):
        run(box, "/bin/echo", NASTY)
        until(lambda: "script" in (tmp_path / "told").read_text(), "the line")
    assert "\x1b" not in (tmp_path / "told").read_text()
