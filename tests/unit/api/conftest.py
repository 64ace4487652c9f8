from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.unit.api.fake import Running, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as it:
        yield it


@pytest.fixture
def admin(server: Running) -> Iterator[httpx2.Client]:
    with http(server.admin) as client:
        yield client


@pytest.fixture
def agent(server: Running) -> Iterator[httpx2.Client]:
    with http(server.agent) as client:
        yield client


def http(path: Path) -> httpx2.Client:
    transport = httpx2.HTTPTransport(uds=str(path))
    return httpx2.Client(transport=transport, base_url="http://agentcg", timeout=5)
