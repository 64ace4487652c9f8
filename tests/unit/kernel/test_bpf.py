"""What the loader says without library, type information, permission or bpf file system."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.errors import BpfError, UnavailableError, UnsupportedError
from agentcg.kernel import bpf_object, bpffs, libbpf, probe_bpf, probe_uretprobe
from agentcg.kernel.bpf_handle import Handle
from agentcg.kernel.bpf_object import Object


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(name: str, **_: object) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    libbpf.lib.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    yield
    libbpf.lib.cache_clear()


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    for name in ("kernel/btf", "kernel/sched_ext/root", "kernel/security"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "kernel/btf/vmlinux").touch()
    (tmp_path / "kernel/sched_ext/state").write_text("disabled\n")
    return tmp_path


def reasons(sys: Path) -> dict[str, str]:
    return {m.name: m.detail for m in probe_bpf.mechanisms(sys) if not m.works}


@pytest.mark.usefixtures("no_library")
def test_without_the_library_its_package_is_named(sys: Path) -> None:
    with pytest.raises(UnsupportedError, match="apt-get install libbpf1"):
        Object.open(Path("any.bpf.o"))
    found = reasons(sys)
    assert "btf" not in found
    assert all("libbpf1" in reason for reason in found.values())
    assert found["sched_ext"].startswith("not tried, as bpf does not work: no libbpf.so.1")


@pytest.mark.usefixtures("no_library")
def test_without_type_information_nothing_is_tried(tmp_path: Path) -> None:
    found = reasons(tmp_path)
    assert "CONFIG_DEBUG_INFO_BTF" in found["btf"]
    assert "not tried, as btf does not work" in found["bpf.tripwire"]
    assert "CONFIG_SCHED_CLASS_EXT" in found["sched_ext"]


@pytest.mark.parametrize(
    ("lockdown", "uid", "hint"),
    [
        (
            "none integrity [confidentiality]\n",
            0,
            "the kernel is locked down: none integrity [conf",
        ),
        (
            "[none] integrity confidentiality\n",
            1000,
            "CAP_BPF and CAP_PERFMON, or root, are needed",
        ),
        (None, 0, "this kernel forbids it even to root"),
    ],
)
def test_what_is_forbidden_has_a_remedy(
    sys: Path, monkeypatch: pytest.MonkeyPatch, lockdown: str | None, uid: int, hint: str
) -> None:
    def refuse(_: Path) -> Object:
        raise BpfError("loading it", 1)

    if lockdown:
        (sys / "kernel/security/lockdown").write_text(lockdown)
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr(Object, "open", refuse)
    assert reasons(sys)["bpf"].startswith(f"loading it: Operation not permitted; {hint}")


def test_an_object_that_was_not_built() -> None:
    assert bpf_object.shipped("probe_load").name == "probe_load.bpf.o"
    with pytest.raises(UnavailableError, match="make bpf"):
        bpf_object.shipped("never")


def test_every_mechanism_has_its_object_and_each_of_these_a_mechanism() -> None:
    files = {file for file, _ in probe_bpf.OBJECTS.values()}
    probes = bpf_object.shipped("probe_load").parent.glob("probe_*.bpf.o")
    # The tracer is itself what is tried; returns are probed only where GPUs are leased.
    alone = {"tracer", probe_uretprobe.NAME}
    assert files | alone == {"tracer", *(path.name.removesuffix(".bpf.o") for path in probes)}


def test_libbpfs_words_are_heard_only_by_who_asks(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bpf.o"
    wrong.write_text("no ELF")
    with pytest.raises(BpfError) as refusal:
        Object.open(wrong)
    assert "wrong.bpf.o" in refusal.value.log
    with libbpf.words() as heard:
        pass
    assert heard == []


def test_an_object_is_known_by_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a")
    other.write_bytes(b"b")
    assert bpffs.digest(one) != bpffs.digest(other)
    other.write_bytes(b"a")
    assert bpffs.digest(one) == bpffs.digest(other)


def test_no_bpf_file_system(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="mount -t bpf bpf /sys/fs/bpf"):
        bpffs.Pins(tmp_path / "agentcg")


def test_what_is_closed_is_neither_used_nor_closed_again() -> None:
    ours = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    with Handle(ours, "counts") as handle:
        assert handle.fd == ours
    with pytest.raises(BpfError, match="counts is closed"):
        handle.pin(Path("/none"))
    handle.close()
