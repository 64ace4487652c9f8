"""The client built for the tests: its own directory for the socket, so no daemon is asked."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acg.client import Client, build


@pytest.fixture(scope="session")
def built() -> Iterator[Client]:
    if not shutil.which("musl-gcc") or not shutil.which("make"):
        pytest.skip("needs musl-gcc and make")
    # Not tmp_path: it is 0700, which shuts other uids out, and can be longer than a socket address.
    with tempfile.TemporaryDirectory(prefix="acg-") as name:
        root = Path(name)
        root.chmod(0o755)
        client = Client(root)
        client.agent.mkdir(mode=0o755)
        build(client)
        yield client


@pytest.fixture
def client(built: Client) -> Iterator[Client]:
    yield built
    for path in built.agent.iterdir():
        path.unlink()
    built.admin.unlink(missing_ok=True)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A shell starts background jobs with SIGINT ignored, which would be passed on by exec."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
