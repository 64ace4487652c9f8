"""Samples as bytes and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.sample import Sample, Usage
from agentcg.telemetry import codec
from tests.unit.telemetry.samples import BRIEF, USAGES, sample

STEPS = st.lists(
    st.tuples(
        st.integers(0, 10**7), USAGES.map(lambda u: (True, u)) | BRIEF.map(lambda u: (False, u))
    ),
    min_size=1,
    max_size=20,
)


@given(STEPS)
def test_every_figure_of_every_sample_comes_back(
    steps: list[tuple[int, tuple[bool, Usage]]],
) -> None:
    taken: list[Sample] = []
    elapsed = 0
    for step, (full, usage) in steps:
        elapsed += step if taken else 0
        taken.append(Sample(1e9 + elapsed / 1000, 7.0 + elapsed / 1000, full, usage))
    back = list(codec.decode(codec.encode(taken), at=1e9, clock=7.0))
    assert [(s.full, s.usage) for s in back] == [(s.full, s.usage) for s in taken]
    assert [s.clock for s in back] == pytest.approx([s.clock for s in taken], abs=0.001)


@given(st.binary(max_size=60))
def test_bytes_from_elsewhere_are_refused_or_read_but_never_more(data: bytes) -> None:
    try:
        found = list(codec.decode(data, at=0.0, clock=0.0))
    except ValueError:
        return
    assert len(found) <= len(data)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_noticed(position: int, flip: int) -> None:
    data = bytearray(codec.encode([sample(n) for n in range(30)]))
    data[position % len(data)] ^= flip
    with pytest.raises(ValueError, match="checksum"):
        list(codec.decode(bytes(data), at=0.0, clock=0.0))


def test_what_ends_in_the_middle_is_noticed() -> None:
    data = codec.encode([sample(n) for n in range(3)])
    for length in range(len(data)):
        with pytest.raises(ValueError, match="checksum"):
            list(codec.decode(data[:length], at=0.0, clock=0.0))


def test_a_clock_that_goes_back_within_a_chunk_stands_still() -> None:
    taken = [sample(5), sample(3), sample(6)]
    back = list(codec.decode(codec.encode(taken), at=taken[0].at, clock=taken[0].clock))
    assert [s.clock for s in back] == pytest.approx([50.5, 50.5, 50.6])


def test_a_sample_is_a_few_bytes() -> None:
    taken = [sample(n) for n in range(256)]
    assert len(codec.encode(taken)) < 10 * len(taken)
