"""The words of a block, where no daemon is asked."""

import pytest

from agentcg.client.block import Block
from agentcg.errors import BadValueError
from agentcg.integrations.asked import Asked


@pytest.mark.parametrize("line", ["cat > f <<'E'\n" + "x" * 40_000, "echo \ud800"])
def test_a_command_that_is_long_or_odd_runs_as_it_is(line: str) -> None:
    assert Asked(line, {}, tool="bash").call.wrap() == ["/bin/sh", "-c", line]


def test_a_wish_that_does_not_parse_is_said() -> None:
    with pytest.raises(BadValueError, match="'lots'"):
        Block("true", memory="lots")
