"""Makes the guest's third disk: what `sandbox_images` are built upon where no registry is."""

from collections.abc import Sequence
from pathlib import Path

from sandbox_images import build, rootfs
from vm_tests import cache, image, steps

# An emulated machine takes long to import one. All have the same Dockerfile; the others are larger.
FEW = ("base",)
ALL = build.IMAGES
_DISK_SIZE = "2G"


def sandbox_disk(names: Sequence[str]) -> Path:
    """Return the disk with a tar file for each image."""
    for name in build.plain(names):
        rootfs.made(name)
    key = cache.key(*map(rootfs.key, build.plain(names)), Path(__file__))
    if not cache.has("sandboxes", key):
        with steps.step("sandboxes", "Making the disk for sandbox images") as log:
            cache.entry("sandboxes", key, lambda folder: _make(folder, names, log))
    return cache.entry("sandboxes", key, lambda _: None) / "disk"


def _make(folder: Path, names: Sequence[str], log: Path) -> None:
    tree = folder / "tree"
    rootfs.put(names, tree)
    image.make_disk(folder / "disk", tree, _DISK_SIZE, "agentcg-images", log)
    steps.run(["rm", "-r", tree], log)
