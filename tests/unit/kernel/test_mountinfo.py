"""mountinfo, and the remount that must not lose an option."""

from pathlib import Path

import pytest

from agentcg.errors import NotFoundError, UnsupportedError
from agentcg.kernel import mountinfo

LINE = "31 23 0:28 / {path} {options} shared:4 master:1 - cgroup2 cgroup2 {super_options}\n"
OTHER = "23 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
SUPER = "rw,nsdelegate,memory_recursiveprot"


class Kernel:
    """A mountinfo file, and a mount function that changes it as the kernel would."""

    def __init__(self, where: Path, super_options: str = SUPER) -> None:
        self.file = where / "mountinfo"
        self.cgroups = where / "cgroups"
        self.cgroups.mkdir()
        self.namespace = where / "ns"
        self.namespace.touch()
        self.calls: list[tuple[Path, int, str]] = []
        self.options = "rw,nosuid,nodev,noexec,relatime"
        self.show(super_options)

    def show(self, super_options: str) -> None:
        line = LINE.format(path=self.cgroups, options=self.options, super_options=super_options)
        self.file.write_text(OTHER + line)

    def remount(self, path: Path, flags: int, data: str) -> None:
        self.calls.append((path, flags, data))
        self.show("rw," + data)

    def set(self) -> mountinfo.Mount:
        return mountinfo.set_favordynmods(
            self.cgroups,
            mountinfo=self.file,
            namespace=self.namespace,
            remount=self.remount,
        )


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(mountinfo, "_INITIAL_CGROUP_NS", kernel.namespace.stat().st_ino)
    return kernel


def test_parse_escapes_and_optional_fields() -> None:
    text = OTHER + LINE.format(path="/a\\040b", options="rw", super_options="rw,nsdelegate")
    first, second = mountinfo.parse(text)
    assert (first.kind, first.path, first.source) == ("ext4", Path("/"), "/dev/root")
    assert second.path == Path("/a b")
    assert second.super_options == ("rw", "nsdelegate")


def test_the_mount_of_a_path(tmp_path: Path) -> None:
    outer, inner = tmp_path / "cg", tmp_path / "cg/in"
    inner.mkdir(parents=True)
    table = tmp_path / "table"
    table.write_text(
        LINE.format(path=outer, options="rw", super_options="rw")
        + LINE.format(path=inner, options="rw", super_options="old")
        + LINE.format(path=inner, options="rw", super_options="new")
    )
    assert mountinfo.cgroup2_mount_of(outer / "x", table).path == outer
    assert mountinfo.cgroup2_mount_of(inner / "x", table).super_options == ("new",)
    with pytest.raises(NotFoundError):
        mountinfo.cgroup2_mount_of(tmp_path, table)


def test_favordynmods_keeps_all_options(kernel: Kernel) -> None:
    mount = kernel.set()
    assert set(mount.super_options) >= {"nsdelegate", "memory_recursiveprot", "favordynmods"}
    ((path, flags, data),) = kernel.calls
    assert path == kernel.cgroups
    assert flags == 32 | 2 | 4 | 8 | (1 << 21)
    assert data == "nsdelegate,memory_recursiveprot,favordynmods"
    assert kernel.set() == mount
    assert len(kernel.calls) == 1


def test_favordynmods_reads_back(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "remount", lambda *_: None)
    with pytest.raises(UnsupportedError, match="asked for"):
        kernel.set()
    monkeypatch.setattr(kernel, "remount", lambda *_: kernel.show("rw,favordynmods"))
    with pytest.raises(UnsupportedError, match="nsdelegate"):
        kernel.set()


def test_favordynmods_refuses_unknown_mount_options(kernel: Kernel) -> None:
    kernel.options = "rw,idmapped"
    kernel.show(SUPER)
    with pytest.raises(UnsupportedError, match="idmapped"):
        kernel.set()
    assert not kernel.calls


def test_favordynmods_refused_inside_a_namespace(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    assert not mountinfo.in_initial_cgroup_ns(kernel.namespace)
    with pytest.raises(UnsupportedError, match="namespace"):
        kernel.set()
    assert not kernel.calls
