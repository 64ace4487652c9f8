"""The row that the cursor is on."""

import pytest

from agentcg.cli.plot import UNICODE
from agentcg.cli.top.screen import Screen
from tests.unit.cli.top.boards import CALLS, framed, full


@pytest.mark.parametrize("screen", [Screen(), CALLS], ids=["sessions", "calls"])
def test_a_course_is_never_in_reverse_also_where_the_cursor_is(screen: Screen) -> None:
    lines = framed(full(), screen, size=(200, 24)).lines
    row = next(line for line in lines if line.plain.startswith(">"))
    turned = {at for span in row.spans if span.style == "reverse" for at in range(*span[:2])}
    drawn = {at for at, char in enumerate(row.plain) if char in UNICODE.bars}
    assert drawn
    assert not drawn & turned
    assert {0, len(row.plain) - 1} <= turned
