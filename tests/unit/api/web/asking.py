"""A browser's part, as far as the door sees it."""

from collections.abc import Mapping

import httpx2

from tests.unit.api.conftest import http
from tests.unit.api.fake import Running


def browser(server: Running, **headers: str) -> httpx2.Client:
    """A client of the web view's door."""
    base = f"http://127.0.0.1:{server.web}"
    return httpx2.Client(base_url=base, headers=headers, timeout=30, trust_env=False)


def secret(server: Running) -> str:
    """What is behind the "#" of a new link."""
    with http(server.admin) as admin:
        answer = admin.post("/v1/ui/links")
    assert answer.status_code == 201, answer.text
    start, _, found = str(answer.json()["url"]).partition("#enter=")
    assert start == f"http://127.0.0.1:{server.web}/ui"
    return found


def bearer(secret: str) -> Mapping[str, str]:
    """The header that carries a link's secret, or a token."""
    return {"Authorization": f"Bearer {secret}"}


def token(server: Running) -> str:
    """A token that holds."""
    with browser(server) as client:
        answer = client.post("/ui/enter", headers=bearer(secret(server)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])
