"""Headless Chromium by its DevTools protocol, over a pipe: a page that is looked at and clicked."""

import base64
import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests are root's
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
# Chromium reads commands from 3 and writes to 4.
_AT_3_AND_4 = 'exec "${@:3}" 3<&"$1" 4>&"$2"'
_PATIENCE = 60.0


class NavigatedError(Exception):
    """The page went elsewhere while it was asked."""


@dataclass
class Browser:
    """One page. Messages are JSON, each ended by a NUL."""

    said: int
    heard: int
    page: str | None = None
    number: int = 0
    rest: bytes = b""
    errors: list[str] = field(default_factory=list)

    def do(self, method: str, **params: Any) -> Any:
        """Give a command and wait for its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.page is not None:
            message["sessionId"] = self.page
        os.write(self.said, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise NavigatedError
                assert "error" not in answer, answer["error"]
                return answer["result"]
            if answer.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self.errors.append(json.dumps(answer["params"]))

    def _next(self) -> Any:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.heard], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self.heard, 1 << 20)
            assert part, "the browser is gone"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        """Go to a page."""
        self.do("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page, awaited."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self.do("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self) -> str:
        """What is to be read on the page; nothing while it goes to another."""
        try:
            return str(self.ask("document.body?.innerText ?? ''"))
        except NavigatedError:
            return ""

    def click(self, words: str) -> None:
        """Click at the middle of the first link of these words, as a mouse does."""
        find = f"[...document.links].find((one) => one.innerText === {json.dumps(words)})"
        self.ask(f"{find}.scrollIntoView({{block: 'center'}})")
        box = self.ask(f"{find}.getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def look(self, width: int, height: int, *, dark: bool = False) -> bytes:
        """A picture of the page, PNG."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.do("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])
        return base64.b64decode(self.do("Page.captureScreenshot")["data"])


@contextlib.contextmanager
def browser(scratch: Path) -> Iterator[Browser]:
    """A browser with an empty page; its profile is in `scratch`."""
    (theirs, said), (heard, ours) = os.pipe(), os.pipe()
    command = ["chromium", *_OPTIONS, f"--user-data-dir={scratch / 'profile'}", "about:blank"]
    with (scratch / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", _AT_3_AND_4, "chromium", str(theirs), str(ours), *command],
            pass_fds=(theirs, ours),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(scratch)},
        )
    for fd in (theirs, ours):
        os.close(fd)
    made = Browser(said, heard)
    try:
        target = made.do("Target.createTarget", url="about:blank")["targetId"]
        attached = made.do("Target.attachToTarget", targetId=target, flatten=True)
        made.page = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            made.do(f"{domain}.enable")
        yield made
    finally:
        # At the end of its pipe it ends itself, with all of its processes.
        for fd in (said, heard):
            os.close(fd)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
