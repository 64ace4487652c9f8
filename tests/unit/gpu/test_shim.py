"""What the daemon puts before libcuda, and tells programs there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentcg.cli.install import Where
from agentcg.errors import UnavailableError
from agentcg.gpu import shim
from agentcg.gpu.shim import Shim
from agentcg.native import shim as shipped
from tests.gpu.shimmed import SHIM, Leased, leased
from tests.unit.gpu.leases import lease

CALL = lease().call


@pytest.fixture
def guard(tmp_path: Path) -> Shim:
    one = Shim(tmp_path / "agent/gpu", context=7, libraries=SHIM)
    assert one.probe() is None
    return one


@pytest.fixture
def leaf(tmp_path: Path) -> Any:
    path = tmp_path / "leaf"
    path.mkdir()
    return SimpleNamespace(path=path)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Leased]:
    with leased(tmp_path, 100) as one:
        yield one


def said(guard: Shim) -> str:
    return (guard.folder / CALL).read_text()


def test_a_load_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "_TRY", "import time; time.sleep(600)")
    monkeypatch.setattr(shim, "_WITHIN", 0.1)
    reason = Shim(tmp_path / "gpu", context=0, libraries=SHIM).probe()
    assert reason == f"{SHIM / 'libcuda.so.1'} was not loaded within 0.1 s"


def test_where_no_driver_is_it_does_not_work_and_says_so(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(SHIM / "libcuda.so.1", alone)
    bridge = (SHIM / "libagentcg-cuda.so").read_bytes()
    missing = bridge.replace(b"/gpu/libcuda.so.1", b"/gpu/libnone.so.1")
    assert missing != bridge
    (alone / "libagentcg-cuda.so").write_bytes(missing)
    reason = str(Shim(tmp_path / "gpu", 0, alone).probe())
    assert reason.startswith("no libcuda.so.1 of CUDA 12 is behind it: ")


def test_what_is_no_library_is_told(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("none")
    reason = str(Shim(tmp_path / "gpu", 0, tmp_path).probe())
    assert reason.startswith(f"{tmp_path}/libcuda.so.1 cannot be loaded: ")
    assert "file too short" in reason
    assert shipped().is_dir()


def test_what_programs_load_is_what_install_put_there(tmp_path: Path) -> None:
    assert Where().shim == shim.INSTALLED
    reason = Shim(tmp_path / "gpu", 0, tmp_path).probe()
    assert reason == f"{tmp_path}/libcuda.so.1 is not there: run `agentcg install`"


def test_a_calls_leases_add_up_and_change(guard: Shim, leaf: Any) -> None:
    guard.hold(lease(memory=100), leaf)
    assert said(guard) == "100 7\n"
    guard.hold(lease("g-2", memory=50), leaf)
    guard.hold(lease(memory=30), leaf)
    assert said(guard) == "80 7\n"
    assert (guard.folder / CALL).stat().st_mode & 0o777 == 0o644
    assert guard.folder.stat().st_mode & 0o777 == 0o711
    guard.release(lease(), leaf)
    assert said(guard) == "50 7\n"


def test_what_outlives_its_lease_has_nothing_until_its_leaf_has_gone(
    guard: Shim, leaf: Any
) -> None:
    guard.hold(lease(), leaf)
    guard.release(lease(), leaf)
    assert said(guard) == "0 7\n"
    guard.hold(lease(memory=9), leaf)
    assert said(guard) == "9 7\n"
    guard.release(lease(), leaf)
    leaf.path.rmdir()
    guard.release(lease(), leaf)
    assert list(guard.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(guard: Shim, leaf: Any) -> None:
    shutil.rmtree(guard.folder)
    with pytest.raises(UnavailableError, match="call c-1 is not told"):
        guard.hold(lease(), leaf)


def test_an_account_goes_when_nobody_is_charged_there(guard: Shim, program: Leased) -> None:
    with program.tenant() as tenant:
        assert tenant.does("take cuMemAlloc_v2 1") == "error 2"
        assert len(program.accounts) == 1
        shim._sweep(program.path.name)
        assert len(program.accounts) == 1
        assert tenant.does("free") == "100"
    shim._sweep(program.path.name)
    assert program.accounts == []


def test_what_an_agent_puts_in_an_accounts_place_harms_nobody(tmp_path: Path) -> None:
    name = f"c-{os.getpid()}"
    folder, fifo, link = (Path(f"/dev/shm/agentcg-gpu-{name}-{n}") for n in range(3))
    (tmp_path / "kept").touch()
    folder.mkdir()
    os.mkfifo(fifo)
    link.symlink_to(tmp_path / "kept")
    shim._sweep(name)
    assert (tmp_path / "kept").exists()
    folder.rmdir()
    fifo.unlink(missing_ok=True)
    link.unlink()


def test_the_daemon_has_little_time_for_what_agents_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "_ACCOUNTS", tmp_path)
    left = [tmp_path / f"agentcg-gpu-{call}-0" for call in ("c-1", "c-2", "c-22")]
    for one in left:
        one.touch()
    with monkeypatch.context() as patch:
        patch.setattr(shim, "_SWEEPING", 0.0)
        shim._sweep()
    assert all(map(Path.exists, left))
    shim._sweep("c-1", "c-2")
    assert list(tmp_path.iterdir()) == left[2:]
    shim._sweep()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(shim, "_ACCOUNTS", tmp_path / "none")
    shim._sweep()


def test_the_end_takes_it_away(guard: Shim) -> None:
    guard.close()
    assert not guard.folder.exists()
