"""A folder for traces."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.telemetry import store, writer
from tests.unit.telemetry.stores import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(store, "BATCH", 0.02)
    monkeypatch.setattr(store, "TIDY", 0.05)
    monkeypatch.setattr(store, "CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(store, "FEW_SECONDS", 0.0)
    monkeypatch.setattr(writer, "RETRY", 0.05)
    monkeypatch.setattr(writer, "TIDY", 0.05)
    made = Bench(tmp_path / "traces")
    yield made
    for one in made.made:
        one.close()
