"""Builds images by the engine that `docker` reaches, upon an image of Debian or upon a tar file."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sandbox_images import context

PLAIN = tuple(sorted(path.name for path in (context.HERE / "packages").iterdir()))
# Built by a Dockerfile of its own, upon another of ours.
UPON = {"gpu": "python"}
IMAGES = (*PLAIN, *UPON)


def tag(name: str) -> str:
    """The image's name in the engine."""
    return f"agentcg/{name}"


def plain(names: Iterable[str]) -> list[str]:
    """The images without a Dockerfile of their own that these are or are built upon."""
    return list(dict.fromkeys(UPON.get(name, name) for name in names))


def build(names: Iterable[str], rootfs: Path | None = None) -> None:
    """Build images, with those that they are built upon.

    `rootfs`: a folder with NAME.tar of each plain one, made by `rootfs.put`; then nothing is
    fetched from anywhere.
    """
    wanted = list(names)
    with tempfile.TemporaryDirectory(prefix="agentcg-image-") as made:
        folder = Path(made)
        context.write(folder)
        for name in plain(wanted):
            _build(name, folder, f"IMAGE={name}", *_base(name, rootfs))
    for name in wanted:
        if name in UPON:
            _build(name, context.HERE / name, f"BASE={tag(UPON[name])}")


def _base(name: str, rootfs: Path | None) -> tuple[str, ...]:
    if rootfs is None:
        return ()
    base = f"agentcg/rootfs-{name}"
    _docker("import", str(rootfs / f"{name}.tar"), base)
    return (f"BASE={base}",)


def _build(name: str, folder: Path, *args: str) -> None:
    options = [option for arg in args for option in ("--build-arg", arg)]
    # Without a registry no step may need a network, and an engine may well have none.
    alone = ["--network", "none"] if any(arg.startswith("BASE=") for arg in args) else []
    _docker("build", "--tag", tag(name), *options, *alone, str(folder))


def _docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True)
