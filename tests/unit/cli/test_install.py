"""What `agentcg install` writes, below another root."""

from pathlib import Path

import pytest

from agentcg.cli import install
from agentcg.cli.install import Where, put
from tests.unit.api.fake import Running
from tests.unit.cli.conftest import Run


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "acg"
    made.write_text("one")
    monkeypatch.setattr(install, "native", lambda: made)
    shim = tmp_path / "shim"
    shim.mkdir()
    for name in ("libcuda.so.1", "libagentcg-cuda.so"):
        (shim / name).write_text(name)
    monkeypatch.setattr(install, "shim", lambda: shim)
    return made


def test_every_file_is_there_and_no_placeholder_is_left(client: Path, tmp_path: Path) -> None:
    where = Where(tmp_path / "root")
    written = put(where)
    assert set(where.files()) < set(written)
    for path in written:
        assert path.exists()
        assert "@ACG@" not in path.read_text()
        assert "@BIN@" not in path.read_text()
    assert (where.shim / "libcuda.so").read_text() == "libcuda.so.1"
    service = (where.units / "agentcg.service").read_text()
    assert "/agentcgd\n" in service


def test_an_upgrade_renews_the_client_everywhere_and_leaves_the_configuration(
    client: Path, tmp_path: Path
) -> None:
    where = Where(tmp_path / "root")
    put(where)
    where.config.write_text("journal: {keep: 5}")
    client.write_text("two")
    assert where.config not in put(where)
    # Containers have the second one mounted.
    assert [path.read_text() for path in (where.acg, where.shared)] == ["two", "two"]
    assert where.shared.stat().st_mode & 0o777 == 0o755
    assert where.config.read_text() == "journal: {keep: 5}"


def test_uninstall_does_not_end_agents_unasked(
    cli: Run, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Where] = []
    monkeypatch.setattr(install, "remove", removed.append)
    code, _, err = cli("uninstall")
    assert code != 0
    assert "s-home" in err
    assert "--force" in err
    assert removed == []
    assert cli("uninstall", "--force")[0] == 0
    server.controller.kept.clear()
    assert cli("uninstall")[0] == 0
    assert len(removed) == 2
