"""Where agents' processes cannot be seen (here: in a pid namespace) nobody is promised that."""

import pytest

from tests.root.daemon import Daemon

pytestmark = pytest.mark.root


def test_place_is_refused_with_the_reason(daemon: Daemon) -> None:
    body = {"runtime": "bare", "id": "two", "undeclared": "place"}
    answer = daemon.ask("POST", "/v1/sessions", body)
    assert answer.status_code == 501, answer.text
    assert "place needs the observer: it serves the initial pid namespace" in answer.text
    mechanisms = daemon.ask("GET", "/v1/host").json()["mechanisms"]
    (observer,) = [one for one in mechanisms if one["name"] == "observer"]
    assert not observer["works"]
    assert daemon.leaves("two") == []
    # Who may not open one is told just that.
    answer = daemon.ask("POST", "/v1/sessions", body, door="agent")
    assert answer.status_code == 403
