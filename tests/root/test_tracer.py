"""The tracer on a real kernel: what a cgroup does is told, and nothing that others do."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.kernel import probe_bpf
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.tracer import Tracer
from agentcg.model.traced import Question, Traced
from tests.root.daemon import ENTER, Daemon, until

pytestmark = pytest.mark.root

NASTY = "\x1b]0;x\x07<script>"
Inside = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def _can() -> None:
    found = {one.name: one for one in probe_bpf.mechanisms(Path("/sys"))}["bpf.tracer"]
    if not found.works:
        assert "AGENTCG_IN_VM" not in os.environ, found.detail
        pytest.skip(found.detail)


@pytest.fixture
def inside(cgroup_root: CgroupDir) -> Inside:
    """Run a command in that cgroup; before it one outside."""

    def run(*argv: str) -> None:
        for words in (argv, ("sh", "-c", ENTER, str(cgroup_root.path), *argv)):
            subprocess.run(words, check=False, timeout=60, stdout=subprocess.DEVNULL)

    return run


@contextlib.contextmanager
def traced(question: Question, cgroup: CgroupDir) -> Iterator[tuple[Tracer, list[Traced]]]:
    found: list[Traced] = []
    with Tracer(question, cgroup.path.stat().st_ino, found.append) as tracer:
        yield tracer, found


def comes(tracer: Tracer, check: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end
        tracer.wait(0.1)


def test_programs_are_told_with_their_arguments(cgroup_root: CgroupDir, inside: Inside) -> None:
    with traced(Question.EXEC, cgroup_root) as (tracer, found):
        inside("/bin/echo", NASTY, "x y")
        comes(tracer, lambda: any("echo" in one.program for one in found))
        assert tracer.lost == 0
    (echo,) = [one for one in found if "echo" in one.program]
    assert echo.text == f"/bin/echo '{NASTY}' 'x y'"
    assert echo.cgroup_id == 0  # it is in no call's


def test_files_are_told_with_the_answer(
    cgroup_root: CgroupDir, inside: Inside, tmp_path: Path
) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_text("x")
    with traced(Question.OPEN, cgroup_root) as (tracer, found):
        inside("cat", str(there), str(missing))
        comes(tracer, lambda: {str(there), str(missing)} <= {one.text for one in found})
    answers = {one.text: one.result for one in found}
    assert answers[str(there)] >= 0
    assert answers[str(missing)] == -2
    assert [one.text for one in found].count(str(there)) == 1  # not that of who is outside
    assert all(one.took > 0 and one.program == "cat" for one in found if one.text == str(there))


CONNECT = """
import socket, sys
for family, address in ((socket.AF_INET, ("127.0.0.1", 1)), (socket.AF_INET6, ("::1", 1)),
                        (socket.AF_UNIX, sys.argv[1]), (socket.AF_UNIX, "\\0abstract")):
    try:
        with socket.socket(family) as one:
            one.connect(address)
    except OSError:
        pass
"""


def test_connections_are_told_with_their_addresses(
    cgroup_root: CgroupDir, inside: Inside, tmp_path: Path
) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener, traced(Question.CONNECT, cgroup_root) as both:
        tracer, found = both
        listener.bind(path)
        listener.listen()
        inside(sys.executable, "-c", CONNECT, path)
        comes(tracer, lambda: "unix:@abstract" in {one.text for one in found})
    answers = {one.text: one.result for one in found}
    assert answers[f"unix:{path}"] == 0
    assert answers["127.0.0.1:1"] < 0
    assert answers["unix:@abstract"] < 0
    assert "[::1]:1" in answers or not socket.has_ipv6


def test_system_calls_are_counted(cgroup_root: CgroupDir, inside: Inside) -> None:
    with traced(Question.SYSCALLS, cgroup_root) as (tracer, found):
        inside(sys.executable, "-c", "import os\nfor _ in range(50): os.getppid()")
        counts = {one.name: one for one in tracer.counts()}
        assert found == []
    assert counts["getppid"].calls == 50
    assert counts["getppid"].errors == 0
    assert counts["getppid"].took > 0
    assert counts["openat"].errors > 0  # Python looks for its modules in many places


def test_the_command_names_the_call(daemon: Daemon, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agentcg", "probe", "exec", "--session", "one", "-o", "json"]
    with (
        (tmp_path / "told").open("w+") as out,
        subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, text=True) as probe,
    ):
        try:
            assert probe.stderr is not None
            assert probe.stderr.readline() == "agentcg: probing exec\n"
            assert daemon.acg("--", "sleep", "0.01").wait(30) == 0
            until(lambda: "sleep" in (tmp_path / "told").read_text(), "the exec")
            probe.send_signal(signal.SIGINT)
            assert probe.wait(30) == 0
        finally:
            probe.kill()
        told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    (slept,) = [one for one in told if one["text"] == "sleep 0.01"]
    assert slept["call"] == daemon.history()[0]["id"]


FLOOD = """
import os, time
end = time.monotonic() + 60
while time.monotonic() < end:
    try: os.close(os.open("/no/such", 0))
    except OSError: pass
"""


@pytest.mark.parametrize("ends", ["by itself", "by a signal", "with nobody reading"])
def test_a_flood_does_not_keep_it(daemon: Daemon, ends: str) -> None:
    words = [sys.executable, "-m", "agentcg", "probe", "open", "--session", "one"]
    out = subprocess.PIPE if ends == "with nobody reading" else subprocess.DEVNULL
    words += ["--seconds", "1"] if ends == "by itself" else []
    flood = daemon.inside(sys.executable, "-c", FLOOD)
    with subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, text=True) as probe:
        try:
            assert probe.stderr is not None
            assert probe.stderr.readline() == "agentcg: probing open\n"
            if ends != "by itself":
                time.sleep(1)
                probe.send_signal(signal.SIGINT)
            if ends == "with nobody reading":
                time.sleep(1)
                probe.send_signal(signal.SIGINT)
                assert probe.wait(30) == -signal.SIGINT
            else:
                assert probe.wait(30) == 0
        finally:
            probe.kill()
            flood.kill()
            flood.wait(30)


def test_a_probe_of_a_call_needs_no_daemon_once_it_has_begun(
    daemon: Daemon, tmp_path: Path
) -> None:
    loop = daemon.acg("--", "sh", "-c", "while :; do /bin/true; sleep 0.05; done")
    until(lambda: [one for one in daemon.history() if one["state"] == "running"], "the call")
    call = daemon.history()[0]["id"]
    words = [sys.executable, "-m", "agentcg", "probe", "exec", "--call", call]
    with (
        (tmp_path / "told").open("w+") as out,
        subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, text=True) as probe,
    ):
        try:
            assert probe.stderr is not None
            assert probe.stderr.readline() == "agentcg: probing exec\n"
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGSTOP)
            until(lambda: "/bin/true" in (tmp_path / "told").read_text(), "the exec")
            probe.send_signal(signal.SIGINT)
            assert probe.wait(30) == 0
        finally:
            probe.kill()
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGCONT)
    assert (tmp_path / "told").read_text().startswith(call)
    daemon.ask("DELETE", f"/v1/calls/{call}")
    loop.wait(30)
    failed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert f"call {call} is closed and has no cgroup" in failed.stderr


def test_it_says_what_is_wrong(daemon: Daemon) -> None:
    words = [sys.executable, "-m", "agentcg", "probe", "syscalls"]
    for wrong in ([], ["--session", "one", "--call", "c-1"]):
        failed = subprocess.run([*words, *wrong], capture_output=True, text=True, check=False)
        assert failed.returncode == 2
        assert "--session ID or --call ID" in failed.stderr
