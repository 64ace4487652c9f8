"""Sizes, durations, cores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError
from agentcg.units import (
    format_bytes,
    format_bytes_within,
    format_duration,
    parse_bytes,
    parse_cores,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 512 << 20),
        ("1.5g", 3 << 29),
        ("2G", 2 << 30),
        ("2 GB", 2 << 30),
        (" 64k ", 65536),
        ("1T", 1 << 40),
        ("0", 0),
        ("17b", 17),
        (".5M", 1 << 19),
        (4096, 4096),
        (2**60, 2**60),
        ("0.3K", 307),
    ],
)
def test_parse_bytes(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


WORDS = [
    "",
    "max",
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e9",
    "5 apples",
    "1Gib2",
    "iB",
    "2ib",
    "٣M",
    "1_000",
]
LARGE = ["1025P", "9" * 10_000, "9" * 20 + "P"]


@pytest.mark.parametrize("value", [*WORDS, *LARGE, "1,5G", -2, True, False, 2**60 + 1])
def test_parse_bytes_refuses_and_names_the_value(value: str | int) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_bytes(value)
    message = caught.value.message
    assert len(message) < 250
    if isinstance(value, str):
        assert repr(value)[:20] in message


def test_parse_bytes_refuses_a_number_too_long_to_print() -> None:
    with pytest.raises(BadValueError, match="very large"):
        parse_bytes(10**5000)


@pytest.mark.parametrize("value", [math.nan, 1.0, None, [1]])
def test_parse_bytes_refuses_other_types(value: object) -> None:
    with pytest.raises(BadValueError):
        parse_bytes(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1932735283, "1.8 GiB"),
        (2**30 - 1, "1 GiB"),
        (512 << 20, "512 MiB"),
        (-2048, "-2 KiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_format_bytes(size: int, text: str) -> None:
    assert format_bytes(size) == text


@given(st.integers(0, 2**60))
def test_formatted_bytes_parse_to_about_the_same(size: int) -> None:
    again = parse_bytes(format_bytes(size))
    assert abs(again - size) <= size * 0.05


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2.0),
        ("5m", 300.0),
        ("5 min", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1d", 86400.0),
        ("150us", 0.00015),
        ("1.5", 1.5),
        (3, 3.0),
        (0.25, 0.25),
        (0, 0.0),
    ],
)
def test_parse_duration(value: str | float, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "-1s",
        "soon",
        "1 fortnight",
        "NaN",
        math.nan,
        math.inf,
        -0.1,
        True,
        10**400,
        "99999d",
    ],
)
def test_parse_duration_refuses(value: str | float) -> None:
    with pytest.raises(BadValueError):
        parse_duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00025, "250 µs"),
        (0.0025, "2.5 ms"),
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (2.5, "2.5 s"),
        (59.96, "1 min"),
        (303, "5 min 3 s"),
        (3900, "1 h 5 min"),
        (90000, "1 d 1 h"),
        (-2, "-2 s"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 2**60))
def test_a_size_written_within_another_reads_back_as_nearly_as_much(size: int) -> None:
    again = parse_bytes(format_bytes_within(size))
    assert 0.9 * size - 1 <= again <= size


@given(st.floats(0, 1e8))
def test_formatted_durations_parse_to_about_the_same(seconds: float) -> None:
    again = parse_duration(format_duration(seconds))
    assert again == pytest.approx(seconds, rel=0.06, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "cores"), [("2.5", 2.5), (2, 2.0), ("500m", 0.5), (0.1, 0.1), ("16", 16.0)]
)
def test_parse_cores(value: str | float, cores: float) -> None:
    assert parse_cores(value) == pytest.approx(cores)


@pytest.mark.parametrize("value", ["", "0.0", 0, -1, "all", math.nan, True, "1e3", "70000", "2 m"])
def test_parse_cores_refuses(value: str | float) -> None:
    with pytest.raises(BadValueError):
        parse_cores(value)
