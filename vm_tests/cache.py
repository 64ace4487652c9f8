"""Artefacts kept between runs, each in a folder named by the hash of what it was made from.

A changed input gives another name, so nothing is ever out of date; a folder exists only when it is
complete, so an interrupted build leaves nothing that looks usable.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# The newest few of each kind stay; an older one goes when nobody asked for it in a while.
_KEPT_GENERATIONS = 3
_KEPT_SECONDS = 3 * 24 * 3600


def root() -> Path:
    """Return the cache folder, made when missing."""
    default = Path("~/.cache/agentcg").expanduser()
    path = Path(os.environ.get("AGENTCG_CACHE") or default) / "vm"
    path.mkdir(parents=True, exist_ok=True)
    return path


def logs() -> Path:
    """Return the folder of the last run's logs."""
    path = root() / "logs"
    path.mkdir(exist_ok=True)
    return path


def key(*inputs: str | bytes | Path) -> str:
    """Hash texts, files and folders (names, modes and contents)."""
    digest = hashlib.sha256()
    for item in inputs:
        for part in _parts(item):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()[:16]


def _parts(item: str | bytes | Path) -> Iterator[bytes]:
    if isinstance(item, str):
        yield item.encode()
    elif isinstance(item, bytes):
        yield item
    elif item.is_dir():
        for path in sorted(p for p in item.rglob("*") if p.is_file()):
            if "__pycache__" not in path.parts:
                yield f"{path.relative_to(item)} {path.stat().st_mode:o}".encode()
                yield path.read_bytes()
    else:
        yield item.read_bytes()


def entry(kind: str, hashed: str, build: Callable[[Path], None]) -> Path:
    """Return the artefact's folder, built first when missing."""
    path = root() / f"{kind}-{hashed}"
    with locked(kind):
        if path.exists():
            os.utime(path)  # prune() goes by age
            return path
        partial = root() / f"{kind}-{hashed}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            build(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(path)
        _prune(kind)
    return path


def has(kind: str, hashed: str) -> bool:
    """Tell whether entry() would find it."""
    return (root() / f"{kind}-{hashed}").exists()


def _prune(kind: str) -> None:
    ages = sorted((time.time() - p.stat().st_mtime, p) for p in root().glob(f"{kind}-*"))
    for age, path in ages[_KEPT_GENERATIONS:]:
        if age > _KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of that name against other runs of the harness."""
    with (root() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def duration(step: str) -> float | None:
    """Return how long the step took last time."""
    value = _durations().get(step)
    return None if value is None else float(value)


def remember_duration(step: str, seconds: float) -> None:
    """Keep it for the next run."""
    durations = _durations() | {step: round(seconds, 1)}
    partial = root() / "durations.json.partial"
    partial.write_text(json.dumps(durations, indent=1, sort_keys=True))
    partial.rename(root() / "durations.json")


def _durations() -> dict[str, float]:
    try:
        loaded: dict[str, float] = json.loads((root() / "durations.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return loaded
