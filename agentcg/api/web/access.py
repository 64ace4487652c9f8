"""Who may look: one-time links, and the tokens that they were exchanged for.

All of it is in memory, as digests: a daemon that was started anew knows nobody. Time is an
argument, in seconds of a clock that nobody sets.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

LINK_FOR = 60.0
TOKEN_FOR = 12 * 3600.0
# So many at a time, of links and of tokens; one more, and the oldest is void.
MOST = 16
_BYTES = 32
_LEFT_OUT = 80  # a browser does not name this port


@dataclass(slots=True)
class Access:
    """Links and tokens for the door on `port` of 127.0.0.1."""

    port: int
    _links: dict[bytes, float] = field(default_factory=dict)
    _tokens: dict[bytes, float] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """What a request must name as its host: no other name that leads here will do."""
        return "127.0.0.1" if self.port == _LEFT_OUT else f"127.0.0.1:{self.port}"

    def link(self, now: float) -> str:
        """Make a link. Its secret is behind "#": no server, log or prefetch gets to see it."""
        return f"http://{self.host}/ui#enter={_issued(self._links, now + LINK_FOR)}"

    def enter(self, secret: str, now: float) -> str | None:
        """Take the secret of a link, which is void then, for a token."""
        link = _known(self._links, secret, now)
        if link is None:
            return None
        del self._links[link]
        return _issued(self._tokens, now + TOKEN_FOR)

    def left(self, token: str, now: float) -> float:
        """Seconds for which a token still holds; 0: it does not."""
        known = _known(self._tokens, token, now)
        return 0.0 if known is None else self._tokens[known] - now


def _issued(held: dict[bytes, float], until: float) -> str:
    secret = secrets.token_urlsafe(_BYTES)
    while len(held) >= MOST:
        del held[next(iter(held))]
    held[_digest(secret)] = until
    return secret


def _known(held: dict[bytes, float], secret: str, now: float) -> bytes | None:
    wanted = _digest(secret)
    # All are compared, each in constant time.
    found = [one for one, until in held.items() if hmac.compare_digest(one, wanted) and now < until]
    return found[0] if found else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
