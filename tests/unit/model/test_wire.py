"""Bodies from outside: what is taken, and that nothing but ValidationError comes of the rest."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from agentcg.model.intent import CpuClass, CpuWish, Intent, MemoryWish, OnEnd, OnPressure
from agentcg.model.session import Budget
from agentcg.model.wire import (
    BudgetBody,
    CallBody,
    CallPatchBody,
    EndBody,
    GpuBody,
    SessionBody,
)

MIB = 2**20

# A body that is valid but for the value under test.
PLACES: list[tuple[type[BaseModel], tuple[str, ...]]] = [
    (CallBody, ("memory", "guarantee")),
    (CallBody, ("memory", "limit")),
    (CallBody, ("cpu", "weight")),
    (CallBody, ("cpu", "cores")),
    (CallBody, ("pids",)),
    (CallBody, ("io_weight",)),
    (CallBody, ("duration",)),
    (CallBody, ("deadline",)),
    (CallBody, ("priority",)),
    (CallPatchBody, ("pids",)),
    (CallPatchBody, ("deadline",)),
    (EndBody, ("exit_code",)),
    (BudgetBody, ("memory",)),
    (BudgetBody, ("guarantee",)),
    (BudgetBody, ("pids",)),
    (BudgetBody, ("calls",)),
    (SessionBody, ("pid",)),
    (SessionBody, ("priority",)),
]
BAD = [
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    False,
    -(10**30),
    10**30,
    10**5000,
    -1000.5,
    "",
    "nan",
    "1e400",
    "-1",
    "5\0",
    "1\0MiB",
    "\ud800",
    "lots",
    "9" * 5000,
    [],
    [10**5000],
    {},
    {"value": 1},
]


def body(path: tuple[str, ...], value: object) -> dict[str, Any]:
    inner: Any = value
    for key in reversed(path):
        inner = {key: inner}
    return dict(inner)


def under(model: type[BaseModel], path: tuple[str, ...], value: object) -> dict[str, Any]:
    made = body(path, value)
    return {"runtime": "bare", **made} if model is SessionBody else made


@pytest.mark.parametrize(("model", "path"), PLACES)
def test_a_number_that_is_none_is_a_validation_error(
    model: type[BaseModel], path: tuple[str, ...]
) -> None:
    for bad in BAD:
        if path == ("priority",) and bad == "-1":
            continue
        with pytest.raises(ValidationError) as caught:
            model.model_validate(under(model, path, bad))
        (error,) = caught.value.errors(include_url=False)
        assert error["loc"][: len(path)] == path


@pytest.mark.parametrize(("model", "path"), PLACES)
def test_json_that_overflows_a_float_is_a_validation_error(
    model: type[BaseModel], path: tuple[str, ...]
) -> None:
    for text in ("1e400", "-1e400", "NaN", "Infinity", "true"):
        loaded = json.loads(json.dumps(under(model, path, "HERE")).replace('"HERE"', text))
        with pytest.raises(ValidationError):
            model.model_validate(loaded)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(["5", "512MiB", "90s", "-0", "0", 10**300])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)
KEYS = sorted(
    {*CallBody.model_fields, *SessionBody.model_fields, *BudgetBody.model_fields, "weight", "class"}
)


@given(
    st.sampled_from([CallBody, CallPatchBody, EndBody, BudgetBody, SessionBody]),
    st.dictionaries(st.sampled_from(KEYS) | st.text(), VALUES, max_size=5),
)
def test_any_body_is_taken_or_a_validation_error(
    model: type[BaseModel], made: dict[str, Any]
) -> None:
    with contextlib.suppress(ValidationError):
        model.model_validate(made)


@given(st.sampled_from(PLACES), VALUES)
def test_any_number_is_taken_or_a_validation_error(
    place: tuple[type[BaseModel], tuple[str, ...]], value: object
) -> None:
    model, path = place
    with contextlib.suppress(ValidationError):
        model.model_validate(under(model, path, value))


@given(VALUES)
def test_what_a_call_body_lets_through_is_in_range(value: Any) -> None:
    with contextlib.suppress(ValidationError):
        limit = CallBody.model_validate({"memory": {"limit": value}}).intent().memory.limit
        assert limit is None or 0 <= limit <= 2**60
    with contextlib.suppress(ValidationError):
        deadline = CallBody.model_validate({"deadline": value}).intent().deadline
        assert deadline is None or 0 < deadline <= 7 * 86400
    with contextlib.suppress(ValidationError):
        cores = CallBody.model_validate({"cpu": {"cores": value}}).intent().cpu.cores
        assert cores is None or 0 < cores <= 4096


def test_a_call_body_becomes_an_intent_with_everything_in_its_place() -> None:
    made = {
        "tool": "pytest",
        "command": "pytest -q",
        "call_id": "toolu_1",
        "memory": {"guarantee": "256MiB", "limit": 2 * 2**30},
        "cpu": {"class": "batch", "weight": 50, "cores": "1500m"},
        "pids": 100,
        "io_weight": 20,
        "duration": "90s",
        "deadline": "5m",
        "priority": -3,
        "on_pressure": "freeze",
        "on_end": "kill",
        "place": "peer",
    }
    assert CallBody.model_validate(made).intent() == Intent(
        tool="pytest",
        command="pytest -q",
        key="toolu_1",
        memory=MemoryWish(256 * MIB, 2048 * MIB),
        cpu=CpuWish(CpuClass.BATCH, 50, 1.5),
        pids=100,
        io_weight=20,
        duration=90.0,
        deadline=300.0,
        priority=-3,
        on_pressure=OnPressure.FREEZE,
        on_end=OnEnd.KILL,
    )


def test_a_hook_that_says_nothing_keeps_what_outlives_the_call() -> None:
    assert CallBody().intent() == Intent(on_end=OnEnd.KEEP)


@pytest.mark.parametrize(
    "made", [{"mem": {}}, {"memory": {"max": 1}}, {"cpu": {"cpu_class": "batch"}}]
)
def test_a_mistyped_field_is_refused(made: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        CallBody.model_validate(made)


def test_a_number_may_come_as_text_because_acg_has_nothing_else() -> None:
    assert CallBody.model_validate({"pids": "64", "priority": "-5"}).intent().pids == 64


def test_a_patch_leaves_what_it_does_not_name() -> None:
    old = Intent(
        memory=MemoryWish(64 * MIB, 512 * MIB),
        cpu=CpuWish(CpuClass.BATCH, 40, 2.0),
        pids=99,
        deadline=60.0,
    )
    assert CallPatchBody().intent_of(old) == old
    more = CallPatchBody.model_validate({"memory": {"limit": "1GiB"}}).intent_of(old)
    assert more.memory == MemoryWish(64 * MIB, 1024 * MIB)
    assert (more.cpu, more.pids, more.deadline) == (old.cpu, 99, 60.0)


@pytest.mark.parametrize(
    ("cpu", "wish"),
    [
        ({"weight": 200}, CpuWish(CpuClass.BATCH, 200, 2.0)),
        ({"cores": 4}, CpuWish(CpuClass.BATCH, 40, 4.0)),
        ({"class": "normal"}, CpuWish(CpuClass.NORMAL, 40, 2.0)),
        ({}, CpuWish(CpuClass.BATCH, 40, 2.0)),
    ],
)
def test_a_patch_of_one_cpu_figure_leaves_the_others(cpu: dict[str, Any], wish: CpuWish) -> None:
    old = Intent(cpu=CpuWish(CpuClass.BATCH, 40, 2.0))
    assert CallPatchBody.model_validate({"cpu": cpu}).intent_of(old).cpu == wish


def test_a_budget_body_becomes_a_budget() -> None:
    made = {"memory": "4GiB", "guarantee": "1GiB", "pids": 500, "calls": 8}
    assert BudgetBody.model_validate(made).budget() == Budget(2**32, 2**30, 500, 8)
    assert BudgetBody().budget() == Budget()
    with pytest.raises(ValidationError):
        BudgetBody(calls=257)


@pytest.mark.parametrize("code", [0, 137, 255])
def test_an_exit_code_is_a_byte(code: int) -> None:
    assert EndBody(exit_code=code).exit_code == code


@pytest.mark.parametrize("code", [-1, 256, 1.5])
def test_an_exit_code_beyond_a_byte_is_refused(code: float) -> None:
    with pytest.raises(ValidationError):
        EndBody.model_validate({"exit_code": code})


@pytest.mark.parametrize("field", ["gpu", "program"])
@pytest.mark.parametrize("value", ["", "a\n", "a b", "\u00e4", "a" * 129])
def test_names_of_devices_and_programs_are_plain(field: str, value: str) -> None:
    GpuBody.model_validate({"memory": 1, field: "GPU-1"})
    with pytest.raises(ValidationError):
        GpuBody.model_validate({"memory": 1, field: value})
