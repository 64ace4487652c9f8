"""The web view's page in a real browser, with figures that no host of tests has."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.errors import UnavailableError
from agentcg.model.call import CallState
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Explanation, Holding, Pressed, Whose
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.trace import Account, Window
from agentcg.policy.explaining import Evidence
from tests.root.chromium import Browser, browser
from tests.root.daemon import until
from tests.unit.api.fake import HOME, FakeController, Running, running
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
def served(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as server:
        busy(server.controller)
        yield server


@pytest.fixture
def page(tmp_path: Path, served: Running) -> Iterator[Browser]:
    with browser(tmp_path) as made:
        made.open(f"http://127.0.0.1:{served.web}/ui#enter={secret(served)}")
        reads(made, "live")
        yield made


def reads(page: Browser, words: str) -> None:
    until(lambda: words in page.text(), f"{words!r} on the page", 60)


def shown(page: Browser, way: str, words: str) -> None:
    """Go there; it is whole, without a figure that is none, and no wider than the screen."""
    page.ask(f"location.hash = {way!r}")
    reads(page, words)
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


def test_who_pressed_whom_is_told(served: Running, page: Browser) -> None:
    held = (
        Holding(Whose.CALL, 3 << 30, "s-9", "c-hog", f"train {NASTY}"),
        Holding(Whose.OTHERS, 1 << 30, count=7),
        Holding(Whose.THIS, 1 << 20, HOME, CALL, NASTY),
    )
    moment = Pressed(3.0, 3.0, "its memory growth was held up", held, cut=True)
    served.controller.evidence = Evidence((), (), (moment,), 8 << 30, gaps=("3 samples",))
    shown(page, f"#/call/{CALL}", "3 s after it was declared: its memory growth was held up")
    for words in (
        f"train {SHOWN}",
        "3 GiB",
        "The pool has 8 GiB now.",
        "all others (7)",
        "this call",
        "somebody may be missing",
        "Not known: 3 samples",
    ):
        assert words in page.text(), words
    page.click("c-hog")
    reads(page, "There is no call c-hog")


def test_a_page_waits_for_no_evidence(
    served: Running, page: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def slow(*_: object) -> Explanation:
        await asked.wait()
        raise UnavailableError(f"the journal is busy {NASTY}")

    monkeypatch.setattr(served.controller, "explanation", slow)
    shown(page, f"#/call/{CALL}", "It is being looked up.")
    assert "Ended by: oom" in page.text()
    served.loop.call_soon_threadsafe(asked.set)
    reads(page, "Not known now: the journal is busy")
    assert "Ended by: oom" in page.text()


def test_a_column_whose_name_is_clicked_sorts_also_what_comes_after(
    served: Running, page: Browser
) -> None:
    ids = [f"c-{n:08}" for n in range(12)]
    for n, one in enumerate(ids):
        view = served.controller.views[CallId(one)]
        usage = replace(view.usage, memory=n % 3, peak=None if n == 5 else n * MIB)
        served.controller.views[CallId(one)] = replace(view, usage=usage)
    order = "[...document.querySelectorAll('tr[data-key^=\"c-0\"]')].map((one) => one.dataset.key)"
    sort = "document.querySelector('[data-table=calls][data-column=%s]').click()"
    known = [one for one in ids if one != ids[5]]
    page.ask(sort % "Peak")
    until(lambda: page.ask(order) == [*known[::-1], ids[5]], "the highest peak first")
    page.ask(sort % "Peak")
    assert page.ask(order) == [*known, ids[5]]
    page.ask(sort % "Call")
    assert page.ask(order) == ids
    assert page.ask("document.querySelector('th[aria-sort=ascending]').innerText") == "Call"
    before = page.ask("document.querySelector('dl').innerText")
    until(lambda: page.ask("document.querySelector('dl').innerText") != before, "a second to pass")
    assert page.ask(order) == ids


def test_what_is_opened_and_looked_at_stays_while_figures_change(page: Browser) -> None:
    page.ask("document.querySelector('details').open = true")
    page.ask("window.row = document.querySelector('tr[data-key=\"c-00000003\"]')")
    before = page.ask("document.querySelector('dl').innerText + window.row.innerText")
    changed = "document.querySelector('dl').innerText + window.row.innerText"
    until(lambda: page.ask(changed) != before, "a second to pass")
    assert page.ask("window.row.isConnected")
    assert page.ask("document.querySelector('details').open")


def test_an_error_that_passes_leaves_the_view(served: Running, page: Browser) -> None:
    served.controller.failure = UnavailableError("too much at once: retry")
    reads(page, "too much at once: retry")
    assert "Open calls" in page.text()
    served.controller.failure = None
    until(lambda: "too much at once" not in page.text(), "the note to go", 60)
    reads(page, "live")


def test_a_link_that_was_used_is_told_although_a_token_holds(
    served: Running, page: Browser
) -> None:
    page.ask("location.hash = '#enter=used'")
    reads(page, "The link was not taken: this link was used already")
    reads(page, "Open calls")
    page.ask(f"location.hash = '#/session/{HOME}'")
    until(lambda: "not taken" not in page.text(), "the note to go", 60)


def test_what_befell_while_nobody_looked_is_told_then(served: Running, page: Browser) -> None:
    hide = (
        "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    for number, words in ((8, "before any was heard"), (9, "behind the last one")):
        until(lambda: served.controller.streams == 1, "the page to listen", 60)
        page.ask(hide % "true")
        until(lambda: served.controller.streams == 0, "the page to rest", 60)
        served.controller.past.append(Event(number, time.time(), Kind.CALL_OOM, text=words))
        page.ask(hide % "false")
        reads(page, words)
    for event in served.controller.past:
        shown = page.text().count(event.text)
        assert shown == (event.seq >= 8), event


def test_the_course_of_a_closed_session_is_not_that_of_the_last_minutes(
    served: Running, page: Browser
) -> None:
    del served.controller.kept[HOME]
    page.ask(f"location.hash = '#/session/{HOME}'")
    reads(page, "It is closed")
    asked = served.controller.bodies[-1]
    assert isinstance(asked, Window)
    assert asked.since is not None
    assert asked.since < time.time() - 80_000


def test_letters_that_are_blank_and_marks_piled_up_are_made_visible(page: Browser) -> None:
    texts = ["a\u2800b", "\u3164", "\u115f", "e" + "\u0301" * 4, "e" + "\u0301" * 5]
    script = f"import('/ui/format.js').then((m) => {json.dumps(texts)}.map(m.visible))"
    piled = "e" + "\\u0301" * 5
    assert page.ask(script) == ["a\\u2800b", "\\u3164", "\\u115f", texts[3], piled]
