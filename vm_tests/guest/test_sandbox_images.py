"""Images of `sandbox_images/`, built without a registry: client, hooks and language in place."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from agentcg.client import Client
from agentcg.model.outcome import Cause
from sandbox_images import build
from tests.players.claude_code import ClaudeCode
from vm_tests import sandbox_disk
from vm_tests.guest.containers import Box, container, outcome_of, pids, session_of
from vm_tests.guest.test_platform import docker

pytestmark = [pytest.mark.vm, pytest.mark.any_kernel]

SOAK = bool(os.environ.get("AGENTCG_SOAK"))
# The last first: it is built upon another of them, which is there then.
NAMES = sandbox_disk.ALL[::-1] if SOAK else sandbox_disk.FEW
PYTHON = "python3 -c 'import ssl, venv; print(6 * 7)'; git --version"
SPEAKS = {
    "base": "echo $((6 * 7))",
    "python": PYTHON,
    "node": "node -e 'console.log(6 * 7)'; npm --version >&2; git --version",
    "gpu": PYTHON,
}
WHERE = "cat /proc/self/cgroup"
SETTINGS = "/etc/claude-code/managed-settings.json"


class Boxed(ClaudeCode):
    """A harness whose shells and hooks run in a container."""

    def __init__(self, box: Box, settings: Any) -> None:
        super().__init__(settings, "/tmp")
        self.box = box
        self.prefix = settings["env"]["CLAUDE_CODE_SHELL_PREFIX"]

    @override
    def start(self, line: str, shell: str, **more: Any) -> subprocess.Popen[str]:
        given = ("-e", "CLAUDECODE=1", "-e", f"CLAUDE_CODE_SESSION_ID={self.session}")
        wrapped = f"{shlex.quote(self.prefix)} {shlex.quote(line)}"
        words = ["docker", "exec", "-i", *given, self.box.id, shell, "-c", wrapped]
        return subprocess.Popen(words, text=True, **more)


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The disk with what images are built upon."""
    folder = tmp_path_factory.mktemp("rootfs")
    subprocess.run(["mount", "-o", "ro", "LABEL=agentcg-images", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest, rootfs: Path) -> str:
    """An image, built by the Dockerfiles that are there for everybody."""
    made = str(request.param)
    if not docker("images", "-q", build.tag(made)):
        build.build([made], rootfs)
    return made


@pytest.fixture(scope="module")
def box(name: str) -> Iterator[Box]:
    with container(image=build.tag(name), argv=()) as made:
        yield made


def test_it_is_a_session_by_its_own_label(client: Client, box: Box) -> None:
    record = session_of(client, box)
    assert (record.id, record.observe_only) == (box.name, None)
    # What keeps it alive is the client, as the user who is not root.
    assert pids(box.home / "agentcg.agent") == [box.pid]
    assert Path(f"/proc/{box.pid}/cmdline").read_text() == "/usr/local/bin/acg\0pause\0"
    assert Path(f"/proc/{box.pid}").stat().st_uid == 1000


def test_a_command_speaks_its_language_as_a_call(client: Client, name: str, box: Box) -> None:
    record = session_of(client, box)
    command = f"{WHERE}; id -un; pwd; {SPEAKS[name]}"
    done = box.exec("acg", "run", "--call-id", name, "--", "bash", "-c", command)
    assert done.returncode == 0, done
    where, user, folder, answer, *_ = done.stdout.splitlines()
    assert "/agentcg.calls/c-" in where
    assert (user, folder, answer) == ("agent", "/work", "42")
    assert outcome_of(client, record, name).cause is Cause.EXITED


def test_a_harness_finds_its_hooks_and_its_commands_are_calls(client: Client, box: Box) -> None:
    record = session_of(client, box)
    settings = json.loads(box.exec("cat", SETTINGS).stdout)
    groups = [group for event in settings["hooks"].values() for group in event]
    for one in (hook for group in groups for hook in group["hooks"]):
        one["timeout"] = 120  # `docker exec` takes its time here
    done = Boxed(box, settings).call(f"{WHERE}; id -u", timeout=120)
    assert done.key is not None
    assert done.code == 0
    where, user = Path(done.out).read_text().split()
    [call] = [v.call for v in client.calls(everything=True) if v.call.intent.key == done.key]
    assert call.session == record.id
    assert where.endswith(f"/agentcg.calls/{call.id}")
    assert user == "1000"
    assert outcome_of(client, record, done.key).cause is Cause.EXITED


@pytest.mark.skipif(not SOAK, reason="the client alone shows it everywhere")
@pytest.mark.parametrize("name", ["base"], indirect=True)
def test_without_a_daemon_to_ask_commands_run(name: str) -> None:
    line = "/usr/local/bin/acg run -- true && exec /usr/local/bin/acg-shell 'eval \"exit 7\"'"
    words = ("run", "--rm", "--network", "none", build.tag(name), "bash", "-c", line)
    assert subprocess.run(["docker", *words], check=False).returncode == 7


@pytest.mark.skipif(not SOAK, reason="built by the soak")
@pytest.mark.parametrize("name", ["gpu"], indirect=True)
def test_gpu_asks_for_one_and_brings_no_driver(name: str, box: Box) -> None:
    """There is no GPU here: what the container toolkit does with this is not shown."""
    said = json.loads(docker("image", "inspect", "-f", "{{json .Config.Env}}", build.tag(name)))
    wanted = {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
    assert set(said) >= wanted
    tried = box.exec("python3", "-c", "import ctypes; ctypes.CDLL('libcuda.so.1')")
    assert "libcuda.so.1: cannot open shared object file" in tried.stderr
