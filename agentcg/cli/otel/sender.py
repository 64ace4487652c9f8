"""Posts spans to a collector, in a thread: what is slow there holds up nobody here."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2

from agentcg.cli.otel import spans

QUEUE = 4096
BATCH = 100
FLUSH_WITHIN = 5.0
_FIRST, _LONGEST = 0.5, 30.0
_TOLD_EVERY = 10.0
# By the specification of OTLP/HTTP; all else would be refused again.
_AGAIN = frozenset({429, 502, 503, 504})


class Sender:
    """A bounded queue of spans; those that find no place, or are refused, are counted and told."""

    def __init__(
        self, url: str, headers: Mapping[str, str], host: str, tell: Callable[[str], None]
    ) -> None:
        """Start the thread; `close` ends it."""
        self.dropped = 0
        self._url, self._host, self._tell = url, host, tell
        self._told_at, self._untold = 0.0, 0
        self._http = httpx2.Client(headers=dict(headers), timeout=10.0)
        self._spans: deque[dict[str, Any]] = deque()
        self._flying = 0  # spans of the batch that is under way
        self._changed = threading.Condition()
        self._end: float | None = None
        self._thread = threading.Thread(target=self._run, name="otel", daemon=True)
        self._thread.start()

    def put(self, span: dict[str, Any]) -> None:
        """Have a span sent; where the queue is full the oldest goes."""
        with self._changed:
            full = len(self._spans) >= QUEUE
            if full:
                self._spans.popleft()
            self._spans.append(span)
            self._changed.notify()
        if full:
            self.drop(1, f"{self._url} is slower than calls close")

    def drop(self, count: int, why: str) -> None:
        """Spans that are lost: told at once, then every 10 s at most."""
        with self._changed:
            self.dropped += count
            self._untold += count
            now = time.monotonic()
            if self._told_at and now - self._told_at < _TOLD_EVERY:
                return
            self._told_at, number, self._untold = now, self._untold, 0
        self._tell(f"{number} spans dropped, {self.dropped} in all: {why}")

    def close(self) -> None:
        """Send what is left, for 5 s at most."""
        with self._changed:
            self._end = time.monotonic() + FLUSH_WITHIN
            self._changed.notify()
        self._thread.join(3 * FLUSH_WITHIN)
        self._http.close()
        with self._changed:
            left, self._flying, self._told_at = len(self._spans) + self._flying, 0, 0.0
        if left or self._untold:
            self.drop(left, "the end came before they were sent" if left else "see above")

    def _run(self) -> None:
        while batch := self._next():
            try:
                why = self._deliver(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next ones are sent
                why = f"{self._url}: {str(error) or type(error).__name__}"
            with self._changed:
                # None: the end came first, and has counted them.
                count, self._flying = self._flying, 0
            if why is not None and count:
                self.drop(count, why)
            with self._changed:
                if self._end is not None and time.monotonic() > self._end:
                    return

    def _next(self) -> Sequence[dict[str, Any]]:
        """The oldest spans; none: it is the end."""
        with self._changed:
            while not self._spans and self._end is None:
                self._changed.wait()
            self._flying = min(BATCH, len(self._spans))
            return [self._spans.popleft() for _ in range(self._flying)]

    def _deliver(self, batch: Sequence[dict[str, Any]]) -> str | None:
        """Send them, as often as it takes; why they are lost, if they are."""
        sent, pause, away = spans.body(batch, self._host), _FIRST, False
        while True:
            why, again = self._post(sent, len(batch))
            if why is None:
                if away:
                    self._tell(f"{self._url} takes spans again")
                return None
            if again is not None and not away:
                away = True
                self._tell(f"{why}; spans wait, {QUEUE} at most")
            if again is None or not self._waited(max(pause, again)):
                return why
            pause = min(2 * pause, _LONGEST)

    def _post(self, sent: bytes, count: int) -> tuple[str | None, float | None]:
        """Why it failed (None: it did not), and how long to wait before it is worth another try."""
        try:
            answer = self._http.post(
                self._url, content=sent, headers={"content-type": "application/json"}
            )
        except httpx2.HTTPError as error:
            return f"{self._url}: {str(error) or type(error).__name__}", 0.0
        if answer.status_code in _AGAIN:
            wait = 0.0
            with contextlib.suppress(ValueError):
                wait = float(answer.headers.get("retry-after", "0"))
            return f"{self._url} answers {answer.status_code}", min(max(0.0, wait), 60.0)
        if not answer.is_success:
            return f"{self._url} refuses them with {answer.status_code}", None
        refused = _refused(answer)
        if refused:
            self.drop(min(refused, count), f"{self._url} rejected them")
        return None, None

    def _waited(self, seconds: float) -> bool:
        """Wait before another try; False: the end comes first."""
        until = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < until:
                if self._end is not None and until > self._end:
                    return False
                self._changed.wait(until - now)
        return True


def _refused(answer: httpx2.Response) -> int:
    """How many spans a collector did not take though it answered well."""
    try:
        return max(0, int(answer.json()["partialSuccess"]["rejectedSpans"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0
