"""Makes what an image is built upon where no registry is: a Debian in a tar file, by mmdebstrap.

The archive is the one that this host uses itself (`vm_tests/apt.py`). What was made is kept in the
VM harness's cache, by its list of packages.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from sandbox_images import build, context
from vm_tests import apt, cache, steps

SUITE = "trixie"
# As Debian's own slim images leave them out, and what was excluded stays so when apt runs inside.
_EXCLUDED = ("man", "doc", "info", "locale", "groff", "linda", "lintian")


def put(names: Iterable[str], folder: Path) -> None:
    """Put NAME.tar of each image, or of the one that it is built upon, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in build.plain(names):
        shutil.copy(made(name), folder / f"{name}.tar")


def key(name: str) -> str:
    """What the tar of an image is known by."""
    return cache.key(SUITE, context.HERE / "packages" / name, Path(__file__))


def made(name: str) -> Path:
    """The tar of an image, from the cache or made now."""
    if not cache.has(f"rootfs-{name}", key(name)):
        with steps.step(f"rootfs-{name}", f"Installing Debian {SUITE} for image {name}") as log:
            cache.entry(f"rootfs-{name}", key(name), lambda folder: _make(name, folder, log))
    return cache.entry(f"rootfs-{name}", key(name), lambda _: None) / "rootfs.tar"


def _make(name: str, folder: Path, log: Path) -> None:
    packages = (context.HERE / "packages" / name).read_text().split()
    steps.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            "--architectures=amd64",
            f"--keyring={apt.keyring()}",
            f"--include={','.join(packages)}",
            "--aptopt=APT::Install-Recommends false",
            *(f"--dpkgopt=path-exclude=/usr/share/{path}/*" for path in _EXCLUDED),
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            # This host's own, copied in for the time of the installation.
            '--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
            SUITE,
            folder / "rootfs.tar",
            apt.source_line(SUITE),
        ],
        log,
    )
