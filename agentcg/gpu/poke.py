"""A request for one token, so that an idle engine with OpenAI's API looks at its limits."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

import httpx2

from agentcg.errors import BadValueError

_MOST = 65536
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Poke:
    """Called, it pokes."""

    def __init__(self, url: str) -> None:
        """`url` is where the API is, such as http://127.0.0.1:8000."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname not in _LOOPBACK:
            raise BadValueError(f"{url!r} is no URL of this host: name http://127.0.0.1:PORT")
        self._url = url.rstrip("/")

    def __call__(self, timeout: float) -> str:
        """Block for `timeout` seconds at most; why it failed, or nothing."""
        until = time.monotonic() + timeout
        try:
            with httpx2.Client(base_url=self._url, trust_env=False, timeout=timeout) as client:
                model = _ask(client, "GET", "/v1/models", None, until)["data"][0]["id"]
                wish = {"model": model, "prompt": "a", "max_tokens": 1}
                _ask(client, "POST", "/v1/completions", wish, until)
        except (httpx2.HTTPError, ValueError, LookupError, TypeError) as e:
            return f"{self._url} was not to be poked: {str(e) or type(e).__name__}"
        return ""


def _ask(client: httpx2.Client, method: str, path: str, body: object, until: float) -> Any:  # noqa: ANN401 - JSON
    # The port may be another's while the engine is down: neither size nor time are its choice.
    text = b""
    with client.stream(method, path, json=body) as answer:
        for piece in answer.iter_bytes():
            text += piece
            if len(text) > _MOST or time.monotonic() > until:
                raise ValueError(f"{path}: the answer is too long or too slow")
        answer.raise_for_status()
    return json.loads(text)
