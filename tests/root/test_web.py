"""The web view of a real daemon, in a real browser."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcg import units
from agentcg.cli.render import escape
from tests.root.chromium import Browser, browser
from tests.root.daemon import REPO, RUN, Daemon, until

pytestmark = pytest.mark.root

NASTY = "\x1b]0;x\x07<script>document.title=1</script>\u202e"
SHOWN = "\\x1b]0;x\\x07<script>document.title=1</script>\\u202e"
SIZES = [0, 1, 1023, 1024, 1_048_575, 5 << 20, 1_932_735_283, 1 << 60]
SPANS = [0, 4e-6, 0.0004, 0.00234, 0.25, 0.9996, 1, 2.34, 59.94, 59.96, 303, 3599.6, 3660, 90_000]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as made:
        yield made


@pytest.fixture
def watched(daemon: Daemon) -> Daemon:
    """The daemon, started again with its web view on a port that stays the same."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    daemon.stop()
    daemon.config["web"] = {"enabled": True, "port": port}
    daemon.start()
    return daemon


def agentcg(*words: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "AGENTCG_SOCKET": str(RUN / "admin.sock")}
    command = [sys.executable, "-m", "agentcg", *words]
    return subprocess.run(
        command, env=env, cwd=REPO, capture_output=True, text=True, check=False, timeout=30
    )


def link() -> str:
    done = agentcg("ui")
    assert done.returncode == 0, done.stderr
    assert "opens once, within 1 min" in done.stderr
    return done.stdout.strip()


def reads(page: Browser, words: str) -> None:
    until(lambda: words in page.text(), f"{words!r} on the page", 60)


def test_from_host_to_call_by_clicks_and_an_agents_words_are_text(
    watched: Daemon, page: Browser
) -> None:
    with watched.acg("--", "sh", "-c", "sleep 60; true", NASTY) as run:
        until(lambda: watched.leaves(), "the leaf")
        call = watched.leaves()[0]
        page.open(link())
        reads(page, "live")
        reads(page, SHOWN)
        assert "enter=" not in page.ask("location.href")
        page.click("one")
        reads(page, "of the agent, outside calls")
        page.click(call)
        reads(page, "Asked for and granted")
        assert SHOWN in page.text()
        assert page.ask("document.title") == f"agentcg: call {call}"
        assert page.ask("document.querySelectorAll('main script').length") == 0
        assert "running" in page.text()
        run.kill()
        reads(page, "Ended by: signalled")
    page.click("host")
    reads(page, "Open calls")
    reads(page, "No call is open.")
    assert page.errors == []
    for what, values, python in (("size", SIZES, size), ("span", SPANS, units.format_duration)):
        script = f"import('/ui/format.js').then((m) => {json.dumps(values)}.map(m.{what}))"
        assert page.ask(script) == [python(value) for value in values]
    script = f"import('/ui/format.js').then((m) => m.visible({json.dumps(NASTY)}))"
    assert page.ask(script) == escape(NASTY) == SHOWN


def size(value: float) -> str:
    return units.format_bytes(int(value))


def test_a_page_says_when_it_is_cut_off_and_comes_back(watched: Daemon, page: Browser) -> None:
    page.open(f"http://127.0.0.1:{watched.config['web']['port']}/ui")
    reads(page, "run `agentcg ui` on the host")
    page.open(link())
    reads(page, "live")
    reads(page, "one")
    page.do("Network.enable")
    offline: Any = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.do("Network.emulateNetworkConditions", offline=True, **offline)
    reads(page, "connection lost, trying again")
    page.do("Network.emulateNetworkConditions", offline=False, **offline)
    reads(page, "live")
    # Another daemon knows nobody; a new link is taken by the page that is open.
    watched.stop()
    watched.start()
    reads(page, "no token that holds: run `agentcg ui`")
    page.ask(f"location.href = {json.dumps(link())}")
    reads(page, "live")


def test_a_port_that_is_taken_keeps_no_daemon_away(watched: Daemon) -> None:
    watched.stop()
    port = watched.config["web"]["port"]
    with socket.create_server(("127.0.0.1", port)):
        watched.start()
        assert f"web.port {port}: Address already in use; no web view is served" in watched.log
        refused = agentcg("ui")
        assert refused.returncode == 1
        assert "set web.enabled: true" in refused.stderr


def test_only_the_administrator_gets_a_link_and_a_session_no_data(watched: Daemon) -> None:
    assert watched.ask("POST", "/v1/ui/links", door="agent").status_code == 403
    program = (
        "import sys, urllib.request, urllib.error\n"
        "try: urllib.request.urlopen(sys.argv[1])\n"
        "except urllib.error.HTTPError as e: print(e.code)"
    )
    address = f"http://127.0.0.1:{watched.config['web']['port']}"
    for path in ("/v1/sessions", "/v1/calls", "/ui/machine"):
        words = [sys.executable, "-c", program, address + path]
        with watched.inside(*words, stdout=subprocess.PIPE) as process:
            assert process.communicate(timeout=30)[0] == "401\n"
    secret = link().partition("#enter=")[2]
    answer = httpx2.post(f"{address}/ui/enter", headers={"Authorization": f"Bearer {secret}"})
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    found = httpx2.get(f"{address}/v1/sessions", headers=headers).json()
    assert [one["session"]["id"] for one in found] == ["one"]
