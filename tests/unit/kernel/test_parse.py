"""Text formats."""

import pytest

from agentcg.errors import BadValueError
from agentcg.kernel import parse


def test_number() -> None:
    assert parse.number("max\n") is None
    assert parse.number("4096\n") == 4096
    with pytest.raises(BadValueError, match="'many'"):
        parse.number("many")


def test_flat_keyed() -> None:
    text = "low 0\nhigh 12\nmax 3\noom_kill 1\n"
    assert parse.flat_keyed(text) == {"low": 0, "high": 12, "max": 3, "oom_kill": 1}
    assert parse.flat_keyed("") == {}
    assert parse.flat_keyed("good 1\nbad\nworse x\nfine 2\n") == {"good": 1, "fine": 2}


@pytest.mark.parametrize(
    ("text", "ids"), [("0-3,7\n", {0, 1, 2, 3, 7}), ("", set()), ("\n", set()), ("5", {5})]
)
def test_id_list(text: str, ids: set[int]) -> None:
    assert parse.id_list(text) == ids


@pytest.mark.parametrize("text", ["a", "3-1", "0-", "0-99999999", "-1", "1,,2"])
def test_id_list_refuses(text: str) -> None:
    with pytest.raises(BadValueError):
        parse.id_list(text)


def test_pressure() -> None:
    text = (
        "some avg10=1.50 avg60=0.20 avg300=0.00 total=123456\n"
        "full avg10=0.50 avg60=0.10 avg300=0.00 total=7\n"
    )
    assert parse.pressure(text) == parse.Pressure(
        some=parse.PressureLine(1.5, 0.2, 0.0, 123456),
        full=parse.PressureLine(0.5, 0.1, 0.0, 7),
    )
    assert parse.pressure(text.splitlines()[0]).full is None


@pytest.mark.parametrize("text", ["", "some avg10=1", "full avg10=0 avg60=0 avg300=0 total=1"])
def test_pressure_refuses(text: str) -> None:
    with pytest.raises(BadValueError):
        parse.pressure(text)
