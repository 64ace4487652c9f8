"""Makes the guest's second disk: agentcg and what it needs, in a virtual environment.

pip installs as it would for a user, from hash-checked files and without network. It runs in the
guest's userland but on the host's kernel, where it takes seconds instead of minutes. The
dependencies are a layer of their own: a changed line of code repacks only our wheel.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vm_tests import cache, image, steps
from vm_tests.errors import HarnessError

REPO = Path(__file__).parent.parent

_PREFIX = Path("opt/agentcg")
_PYTHON = "3.13"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_DISK_SIZE = "2G"


def build_wheel() -> Path:
    """Build the project's wheel as a release does and return it."""
    with steps.step("wheel", "Building the wheel") as log:
        steps.run(["make", "-C", REPO, "wheel"], log)
    wheels = sorted((REPO / "dist").glob("agentcg-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise HarnessError("`make wheel` left no dist/agentcg-*.whl")
    return wheels[-1]


def app_disk(wheel: Path) -> Path:
    """Return the disk with this wheel installed."""
    tree = image.userland()
    lock = REPO / "requirements.lock"
    venv_key = cache.key(image.userland_key(), lock, Path(__file__))
    if not cache.has("venv", venv_key):
        with steps.step("venv", "Installing the locked dependencies") as log:
            cache.entry("venv", venv_key, lambda folder: _make_venv(folder, tree, lock, log))
    venv = cache.entry("venv", venv_key, lambda _: None)
    app_key = cache.key(venv_key, wheel)
    if not cache.has("app", app_key):
        with steps.step("app-disk", f"Installing {wheel.name}") as log:
            cache.entry("app", app_key, lambda folder: _make_app(folder, tree, venv, wheel, log))
    return cache.entry("app", app_key, lambda _: None) / "disk"


def _make_venv(folder: Path, tree: Path, lock: Path, log: Path) -> None:
    wheels = folder / "wheels"
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    target = ["--only-binary=:all:", f"--python-version={_PYTHON}", *platforms]
    steps.run([*pip, *target, f"--requirement={lock}", f"--dest={wheels}"], log)
    shutil.copy(lock, wheels / "requirements.lock")
    _in_guest(tree, folder, ["python3", "-m", "venv", f"/{_PREFIX}"], log)
    from_wheels = ["--no-deps", "--require-hashes", "--requirement", "wheels/requirements.lock"]
    _pip_install(tree, folder, from_wheels, log)
    shutil.rmtree(wheels)


def _make_app(folder: Path, tree: Path, venv: Path, wheel: Path, log: Path) -> None:
    copy = folder / "venv"
    steps.run(["cp", "-a", "--reflink=auto", venv, copy], log)
    (copy / "wheels").mkdir()
    shutil.copy(wheel, copy / "wheels")
    _pip_install(tree, copy, ["--no-deps", f"wheels/{wheel.name}"], log)
    shutil.rmtree(copy / "wheels")
    image.make_disk(folder / "disk", copy, _DISK_SIZE, "agentcg-app", log)
    shutil.rmtree(copy)


def _pip_install(tree: Path, venv: Path, what: Sequence[str], log: Path) -> None:
    pip = ["bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--find-links=wheels"]
    _in_guest(tree, venv, [*pip, "--no-cache-dir", "--compile", *what], log)


def _in_guest(tree: Path, prefix: Path, argv: Sequence[str], log: Path) -> None:
    """Run a command in the userland, with the folder in the place that it will have there.

    A mount namespace of its own: the bind mount ends with the command, however that ends.
    """
    (tree / _PREFIX).mkdir(parents=True, exist_ok=True)
    script = 'mount --bind "$1" "$2/$3" && cd / && root=$2 where=$3 && shift 3 && '
    script += 'exec env -i PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 chroot "$root" '
    script += 'env -C "/$where" "$@"'
    steps.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", prefix, tree, str(_PREFIX), *argv], log
    )


def commit() -> str:
    """Return the short id of the repository's state, for the closing line."""
    words = ["git", "-C", str(REPO), "describe", "--always", "--dirty"]
    try:
        described = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:  # a host that got the sources without git
        return "unknown"
    return described.stdout.decode().strip() or "unknown"
