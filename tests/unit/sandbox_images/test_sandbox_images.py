"""What goes into an image, and what the engine is asked to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcg.harness.wiring import PREFIX, is_wired
from sandbox_images import build, context
from vm_tests import sandbox_disk

SAYS = '#!/bin/sh\necho "$@" >>"$LOG"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    made.mkdir()
    context.write(made)
    return made


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a docker that does nothing notes what it was asked."""
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(SAYS)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def asked(log: Path) -> list[str]:
    """What the engine was asked, without the names of temporary folders."""
    lines = log.read_text().splitlines()
    return [line.rpartition(" ")[0] if line.startswith("build") else line for line in lines]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox_images", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_harness_with_a_place_of_its_own_finds_its_hooks(folder: Path) -> None:
    found = {
        harness: json.loads((folder / where).read_text())
        for harness, where in context.settings().items()
    }
    assert set(found) >= {"claude-code", "codex", "gemini"}
    assert all(is_wired(doc, harness) for harness, doc in found.items())
    assert found["claude-code"]["env"] == {PREFIX: "/usr/local/bin/acg-shell"}
    assert (folder / "root/etc/claude-code/managed-settings.json").is_file()
    assert (folder / "home/.codex/hooks.json").is_file()


def test_the_client_is_there_under_both_its_names(folder: Path) -> None:
    client = folder / "root/usr/local/bin/acg"
    assert subprocess.run([client, "--version"], capture_output=True, check=False).returncode == 0
    shell = client.with_name("acg-shell")
    assert subprocess.run([shell, "exit 7"], check=False).returncode == 7


def test_what_the_dockerfile_copies_is_there(folder: Path) -> None:
    lines = (folder / "Dockerfile").read_text().splitlines()
    copied = [line.split()[-2] for line in lines if line.startswith("COPY")]
    for name in build.PLAIN:
        assert all((folder / path.replace("${IMAGE}", name)).exists() for path in copied)
    assert len(copied) == 3


def test_with_a_registry_each_image_is_one_build_and_gpu_two(log: Path) -> None:
    assert run("build", "gpu", "node").returncode == 0
    assert asked(log) == [
        "build --tag agentcg/python --build-arg IMAGE=python",
        "build --tag agentcg/node --build-arg IMAGE=node",
        "build --tag agentcg/gpu --build-arg BASE=agentcg/python --network none",
    ]


def test_without_one_each_is_built_upon_its_tar_and_may_fetch_nothing(log: Path) -> None:
    assert run("build", "--rootfs", "/r", "python", "gpu").returncode == 0
    assert asked(log) == [
        "import /r/python.tar agentcg/rootfs-python",
        "build --tag agentcg/python --build-arg IMAGE=python"
        " --build-arg BASE=agentcg/rootfs-python --network none",
        "build --tag agentcg/gpu --build-arg BASE=agentcg/python --network none",
    ]


def test_all_of_them_unless_some_are_named(log: Path) -> None:
    assert run("build").returncode == 0
    tags = [line.split()[2] for line in asked(log)]
    assert tags == [build.tag(name) for name in ("base", "node", "python", "gpu")]
    assert sandbox_disk.ALL == build.IMAGES


def test_what_cannot_be_is_said(log: Path, tmp_path: Path) -> None:
    assert "no image 'rust': choose of base, node, python, gpu" in run("build", "rust").stderr
    (tmp_path / "bin/docker").write_text("#!/bin/sh\nexit 3\n")
    failed = run("build", "base")
    assert (failed.returncode, failed.stderr.count("returned non-zero exit status 3")) == (1, 1)
    again = run("context", str(tmp_path))
    assert again.returncode == 1
    assert "File exists" in again.stderr
    assert not log.exists()
