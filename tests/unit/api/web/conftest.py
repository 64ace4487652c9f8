from collections.abc import Iterator

import httpx2
import pytest

from tests.unit.api.conftest import admin as admin
from tests.unit.api.conftest import agent as agent
from tests.unit.api.conftest import server as server
from tests.unit.api.fake import Running
from tests.unit.api.web.asking import bearer, browser, token


@pytest.fixture
def stranger(server: Running) -> Iterator[httpx2.Client]:
    with browser(server) as client:
        yield client


@pytest.fixture
def looking(server: Running) -> Iterator[httpx2.Client]:
    with browser(server, **bearer(token(server))) as client:
        yield client
