import pytest

from agentcg.model.parent import parent
from agentcg.model.wire import CallBody

GOOD = f"00-{'a' * 32}-{'b' * 16}-01"


def test_a_well_formed_parent_is_kept() -> None:
    assert parent(GOOD) == GOOD
    assert CallBody(traceparent=GOOD).intent().traceparent == GOOD


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        GOOD + "\n",
        GOOD + "-x",
        "x" + GOOD[1:],
        "ff" + GOOD[2:],
        GOOD.replace("a", "0"),
        GOOD.upper(),
    ],
)
def test_what_is_not_is_no_parent(text: str | None) -> None:
    assert parent(text) is None
    assert CallBody(traceparent=text).intent().traceparent is None
