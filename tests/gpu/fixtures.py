"""A fake driver for the tests of a folder: its conftest.py has these."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.kernel.nvml import Nvml
from tests.gpu.nvml import Driver, faked


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A fake driver with one GPU."""
    with faked(tmp_path) as fake:
        yield fake


@pytest.fixture
def nvml(driver: Driver) -> Iterator[Nvml]:
    """Its library."""
    opened = Nvml.open()
    yield opened
    opened.close()
