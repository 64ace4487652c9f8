"""Where libcuda is, and why it cannot be watched."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from agentcg.errors import LimitError, UnsupportedError
from agentcg.gpu import libcuda
from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel import probe_uretprobe
from tests.gpu.tenants import LIBRARY


def test_the_driver_is_found_where_distributions_have_it(tmp_path: Path) -> None:
    assert libcuda.installed(tmp_path) == []
    for place in ("usr/lib/x86_64-linux-gnu", "usr/lib64"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "libcuda.so.1").touch()
        (tmp_path / place / "libcudart.so.1").touch()
    assert [str(one.relative_to(tmp_path)) for one in libcuda.installed(tmp_path)] == [
        "usr/lib/x86_64-linux-gnu/libcuda.so.1",
        "usr/lib64/libcuda.so.1",
    ]


def test_each_reason_is_told(tmp_path: Path) -> None:
    assert libcuda.problem([LIBRARY]) is None
    assert "install the NVIDIA driver" in (UprobeGuard([], timeout=1).probe() or "")
    (tmp_path / "libcuda.so.1").write_text("no ELF")
    wrong = [tmp_path / "libcuda.so.1", tmp_path / "none"]
    reason = UprobeGuard(wrong, timeout=1).probe() or ""
    assert "no ELF64 shared library" in reason
    assert "No such file" in reason
    assert libcuda.problem([*wrong, LIBRARY]) is None


def test_nothing_is_watched_where_that_would_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_uretprobe, "trouble", lambda: "it would kill")
    assert UprobeGuard([LIBRARY], timeout=1).probe() == "it would kill"


def test_only_files_are_read_whose_file_system_answers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with libcuda._open(LIBRARY, hosts=False):
        pass
    with (
        pytest.raises(UnsupportedError, match="no regular file"),
        libcuda._open(tmp_path, hosts=False),
    ):
        pass
    for fuse_or_overlay in (0x65735546, 0x794C7630):
        monkeypatch.setattr(libcuda, "filesystem_type", lambda _, kind=fuse_or_overlay: kind)
        with (
            pytest.raises(UnsupportedError, match="not probed"),
            libcuda._open(LIBRARY, hosts=False),
        ):
            pass
        with libcuda._open(LIBRARY, hosts=True):
            pass


def test_a_leaf_has_so_many_copies_and_no_others_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libcuda.Probed, "_attach", lambda *_: True)
    probed = libcuda.Probed(SimpleNamespace(programs=dict))  # type: ignore[arg-type]
    copies = [tmp_path / str(number) for number in range(9)]
    for one in copies:
        one.touch()
    assert all(probed.add(one, 1) for one in copies[:8])
    with pytest.raises(LimitError, match="8 copies"):
        probed.add(copies[8], 1)
    assert probed.add(copies[8], 2)
    assert not probed.add(copies[0], 2)


def test_what_a_process_has_mapped_is_named_by_its_mapping(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/maps").write_text(
        "7f00-7f10 r--p 00000000 08:01 12 /usr/lib/my libs/libcuda.so.580.1\n"
        "7f10-7f20 r-xp 00001000 08:01 12 /usr/lib/my libs/libcuda.so.580.1\n"
        "7f20-7f30 rw-p 00000000 00:00 0\n"
        "7f30-7f40 r-xp 00000000 08:01 13 /usr/lib/libcudart.so.12\n"
    )
    assert libcuda.mapped(7, tmp_path) == [tmp_path / "7/map_files/7f10-7f20"]
    assert libcuda.mapped(8, tmp_path) == []
