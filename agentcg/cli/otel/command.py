"""The command line of `agentcg otel`."""

import os
import signal
import socket
import time
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from agentcg.cli.output import note

_AGAIN = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(otel)


def otel(
    *,
    endpoint: Annotated[
        str,
        typer.Option(
            help="The collector, such as http://127.0.0.1:4318; /v1/traces is put behind it.",
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
    ],
) -> None:
    """Send a span for each call that closes to an OpenTelemetry collector (OTLP/HTTP, JSON).

    OTEL_EXPORTER_OTLP_HEADERS has headers for it: name=value,name=value. It goes on until it is
    stopped, also where the daemon or the collector is away for a while.
    """
    from agentcg.cli.link import client
    from agentcg.cli.otel.follow import Follower
    from agentcg.cli.otel.sender import Sender
    from agentcg.errors import AgentcgError, BadValueError, DeniedError

    headers = _headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    sender = Sender(_url(endpoint), headers, socket.gethostname(), note)
    follower = Follower(sender.put, sender.drop, time.time())
    # As systemd stops it: what is left is sent then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    away = False
    try:
        while True:
            try:
                with client() as daemon:
                    daemon.health()
                    away = False
                    follower.follow(daemon)
            except (BadValueError, DeniedError):
                raise
            except AgentcgError as error:
                if not away:
                    note(error.message)
                away = True
            time.sleep(_AGAIN)
    finally:
        sender.close()


def _url(endpoint: str) -> str:
    """Where spans are posted to.

    Raises:
        BadValueError: it is no address of a web server.
    """
    import httpx2

    from agentcg.errors import BadValueError

    if "@" in endpoint:
        raise BadValueError("--endpoint: put no password in it, but in OTEL_EXPORTER_OTLP_HEADERS")
    bad = BadValueError(f"--endpoint {endpoint[:80]!r}: write it as http://HOST:4318")
    try:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise bad
        if parts.query or parts.fragment or not all(map(_is_label, parts.hostname.split("."))):
            raise bad
        httpx2.URL(endpoint)
    except (ValueError, httpx2.InvalidURL) as error:
        raise bad from error
    bare = endpoint.rstrip("/")
    return bare if bare.endswith("/v1/traces") else f"{bare}/v1/traces"


def _is_label(text: str) -> bool:
    return 0 < len(text) < 64


def _headers(text: str) -> dict[str, str]:
    """Headers as OpenTelemetry's environment variable has them.

    Raises:
        BadValueError: no request can have them.
    """
    from agentcg.errors import BadValueError

    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    found = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    for name, value in found.items():
        if not name or not (name + value).isascii() or not (name + value).isprintable():
            # Its value may be a secret.
            raise BadValueError(f"OTEL_EXPORTER_OTLP_HEADERS: {name!r}: ASCII alone, in one line")
    return found
