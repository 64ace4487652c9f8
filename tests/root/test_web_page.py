"""The web view's page in a real browser, with figures that no host of tests has."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.model.call import CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.trace import Account
from tests.root.chromium import Browser, browser
from tests.root.daemon import until
from tests.unit.api.fake import HOME, FakeController, running
from tests.unit.api.web.asking import secret
from tests.unit.cli.courses import MIB, NASTY, course

pytestmark = pytest.mark.root

SHOWN = "\\x1b]0;x\\x07<script>\\u202e"
CALL = CallId("c-aaaa2222")
KILLED = Outcome(
    Cause.OOM,
    137,
    9,
    60.0,
    level=Level.CALL,
    level_limit=2048 * MIB,
    advice=f"ask for more {NASTY}",
)


def busy(controller: FakeController) -> None:
    """One call that was killed and has a course, others that are open, and a past."""
    for n in range(12):
        intent = Intent(command=NASTY * 20, tool=NASTY)
        controller.add(f"c-{n:08}", intent, Grant(memory_limit=8 * MIB), session=HOME)
    view = controller.add(
        CALL, Intent(command=NASTY), Grant(notes=(NASTY,), cpus=frozenset({10, 9})), session=HOME
    )
    record = replace(view.call, state=CallState.CLOSED, ended_at=time.time(), outcome=KILLED)
    controller.views[CALL] = replace(view, call=record)
    controller.traces[CALL] = course()
    controller.traces[HOME] = replace(course(), call=None)
    account = Account(CALL, HOME, NASTY, time.time(), Cause.OOM, peak=2048 * MIB, limit=2048 * MIB)
    controller.past_calls.accounts = [account]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    with running(tmp_path) as server, browser(tmp_path) as made:
        busy(server.controller)
        made.open(f"http://127.0.0.1:{server.web}/ui#enter={secret(server)}")
        yield made


def shown(page: Browser, way: str, words: str) -> None:
    """Go there; it is whole, without a figure that is none, and no wider than the screen."""
    page.ask(f"location.hash = {way!r}")
    until(lambda: words in page.text(), f"{words!r} on the page", 60)
    for width in (400, 1400):
        page.look(width, 900)
        until(lambda: page.ask("document.documentElement.scrollWidth <= innerWidth"), "it to fit")
    drawn = page.ask("document.body.outerHTML")
    for rubbish in ("NaN", "undefined", "Infinity", "[object", "null"):
        assert rubbish not in drawn
    assert SHOWN in page.text()
    assert page.ask("document.querySelectorAll('main script').length") == 0
    assert page.errors == []


def count(page: Browser, selector: str) -> int:
    return int(page.ask(f"document.querySelectorAll('{selector}').length"))


def test_every_view_is_whole_on_a_wide_and_on_a_narrow_screen(page: Browser) -> None:
    until(lambda: "live" in page.text(), "the page to be live", 60)
    shown(page, "#/", "among the last 300 calls that closed")
    assert "5 MiB of 8 MiB" in page.text()
    shown(page, f"#/session/{HOME}", "of the agent, outside calls")
    assert count(page, "polygon.memory") == 1
    shown(page, f"#/call/{CALL}", "Ended by: oom")
    # Its burst, its limit, what held it up, and its end.
    for selector, number in (("polygon.peak", 1), ("line.limit", 1), ("line.bad", 2)):
        assert count(page, selector) == number, selector
    assert count(page, "line.mark") == 12
    assert "Memory; limit 2 GiB" in page.text()
    assert "2 (CPU 9 10)" in page.text()
    for lost in ("#/call/c-none", "#/session/s-none", "#/call/%ff", "#/call/..", "#/session/."):
        page.ask(f"location.hash = {lost!r}")
        until(lambda: "Asked for" not in page.text(), "another view", 60)
        page.ask(f"location.hash = '#/call/{CALL}'")
        until(lambda: "Asked for" in page.text(), "the call again", 60)


def test_what_is_opened_and_looked_at_stays_while_figures_change(page: Browser) -> None:
    until(lambda: "live" in page.text(), "the page to be live", 60)
    page.ask("document.querySelector('details').open = true")
    page.ask("window.row = document.querySelector('tr[data-key=\"c-00000003\"]')")
    before = page.ask("document.querySelector('dl').innerText + window.row.innerText")
    changed = "document.querySelector('dl').innerText + window.row.innerText"
    until(lambda: page.ask(changed) != before, "a second to pass")
    assert page.ask("window.row.isConnected")
    assert page.ask("document.querySelector('details').open")
