"""What is recorded is listed whole: every page."""

from collections.abc import Sequence

from agentcg.cli import past
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, Recorded, Window
from tests.unit.api.past import Past

ONE = SessionId("s-1")
MANY = 1200
PAST = Past(
    [Account(CallId(f"c-{n:05}"), ONE, "ls", float(n), Cause.EXITED) for n in range(MANY)],
    [Recorded(SessionId(f"s-{n:05}"), 1.0, 2.0) for n in range(MANY)],
)


class Damaged:
    """A daemon of whose answers one row each is left out, as damaged ones are."""

    def accounts(self, window: Window, name: str | None, before: str | None) -> Sequence[Account]:
        return PAST.page(name, window, before)[1:] or PAST.page(name, window, before)

    def recorded(self, window: Window, name: str | None, after: str | None) -> Sequence[Recorded]:
        return PAST.sessions(name, window, after)[1:] or PAST.sessions(name, window, after)


def test_a_short_page_is_not_taken_for_the_last() -> None:
    calls = past.accounts(Damaged(), 0.0, past.EVER, None)  # type: ignore[arg-type]
    assert (calls[-1].call, len(calls)) == ("c-00000", MANY - 2)
    names = past.sessions(Damaged(), 0.0, past.EVER, None)  # type: ignore[arg-type]
    assert (names[-1].session, len(names)) == ("s-01199", MANY - 2)
