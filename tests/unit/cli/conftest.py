from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentcg.cli.main import app
from tests.unit.api.fake import Running, running

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with running(tmp_path) as it:
        monkeypatch.setenv("AGENTCG_SOCKET", str(it.admin))
        monkeypatch.setenv("COLUMNS", "80")
        yield it


@pytest.fixture
def cli() -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call
