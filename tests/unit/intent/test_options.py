"""The options of `acg run` and the hint in the environment."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError
from agentcg.intent.options import joined, parse_run, without_gpu
from agentcg.model.gpu import GpuWish, OnDeny, ProgramId
from agentcg.model.intent import CpuClass, CpuWish, Intent, MemoryWish, OnEnd, OnPressure

MIB = 2**20

EVERY: list[tuple[str, str, dict[str, Any]]] = [
    ("tool", "pytest", {"tool": "pytest"}),
    ("call-id", "toolu_1", {"key": "toolu_1"}),
    ("guarantee", "64MiB", {"memory": MemoryWish(64 * MIB, None)}),
    ("memory", "2g", {"memory": MemoryWish(None, 2048 * MIB)}),
    ("class", "interactive", {"cpu": CpuWish(CpuClass.INTERACTIVE)}),
    ("weight", "250", {"cpu": CpuWish(weight=250)}),
    ("cores", "2.5", {"cpu": CpuWish(cores=2.5)}),
    ("pids", "64", {"pids": 64}),
    ("io-weight", "7", {"io_weight": 7}),
    ("duration", "90s", {"duration": 90.0}),
    ("deadline", "1h30m", {"deadline": 5400.0}),
    ("priority", "-5", {"priority": -5}),
    ("on-pressure", "freeze", {"on_pressure": OnPressure.FREEZE}),
    ("on-end", "keep", {"on_end": OnEnd.KEEP}),
    ("gpu", "8g", {"gpu": GpuWish(8192 * MIB)}),
]
# Those that mean nothing without --gpu.
OF_GPU: list[tuple[str, str, GpuWish]] = [
    ("gpu-min", "512m", GpuWish(1024 * MIB, 512 * MIB)),
    ("gpu-time", "2m", GpuWish(1024 * MIB, duration=120.0)),
    ("gpu-wait", "5s", GpuWish(1024 * MIB, wait=5.0)),
    ("gpu-device", "GPU-1f", GpuWish(1024 * MIB, gpu="GPU-1f")),
    ("gpu-preemptible", "true", GpuWish(1024 * MIB, preemptible=True)),
    ("gpu-on-deny", "cpu", GpuWish(1024 * MIB, on_deny=OnDeny.CPU)),
    ("program", "p-17", GpuWish(1024 * MIB, program=ProgramId("p-17"))),
]


@pytest.mark.parametrize(("name", "value", "wish"), OF_GPU)
def test_every_option_about_gpu_memory_is_taken(name: str, value: str, wish: GpuWish) -> None:
    assert parse_run(["--gpu=1g", f"--{name}={value}"], ["x"], None).gpu == wish
    with pytest.raises(BadValueError, match=f"option --{name}: means nothing without gpu"):
        parse_run([f"--{name}={value}"], ["x"], None)


@pytest.mark.parametrize(("name", "value", "fields"), EVERY)
def test_every_option_is_taken_with_equals_and_with_a_blank(
    name: str, value: str, fields: dict[str, Any]
) -> None:
    expected = Intent(**{"command": "make", "on_end": OnEnd.KILL, **fields})
    assert parse_run([f"--{name}={value}"], ["make"], None) == expected
    assert parse_run([f"--{name}", value], ["make"], None) == expected


def test_without_options_what_is_left_is_killed() -> None:
    assert parse_run([], ["ls", "-l"], None) == Intent(command="ls -l", on_end=OnEnd.KILL)


def test_of_an_option_given_twice_the_last_counts() -> None:
    assert parse_run(["--pids=5", "--pids", "6"], ["x"], None).pids == 6


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_run(["--tool=a=b"], ["x"], None).tool == "a=b"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mem=1g"], "option --mem: not known; use one of --tool "),
        (["--memory"], "option --memory: has no value; write --memory=VALUE"),
        (["--pids=5", "--class"], "option --class: has no value; write --class=VALUE"),
        (["-m", "1g"], "option '-m': write --name=value"),
        (["1g"], "option '1g': write"),
        (["--memory=5x"], "option --memory '5x': '5x' is not a usable size"),
        (["--weight=0"], "option --weight '0': Input should be greater"),
        (["--class=fast"], "option --class 'fast': Input should be 'interactive'"),
        (["--deadline=nan"], "option --deadline 'nan': 'nan' is not a usable duration"),
        (["--tool=\udcff"], "option --tool '\\\\udcff': Input should be a valid string"),
        (["--call-id="], "option --call-id '': String should have at least 1"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: list[str], words: str) -> None:
    with pytest.raises(BadValueError, match=words):
        parse_run(options, ["x"], None)


def test_a_hint_is_a_wish_too() -> None:
    intent = parse_run([], ["x"], "memory:2g, gpu:8g ,cores: 2,,class: batch")
    assert intent.gpu == GpuWish(8192 * MIB)
    assert intent.memory == MemoryWish(None, 2048 * MIB)
    assert intent.cpu == CpuWish(CpuClass.BATCH, None, 2.0)


@pytest.mark.parametrize(
    ("hint", "fields"),
    [
        ("guarantee:64m", {"memory": MemoryWish(64 * MIB, None)}),
        ("cpu:1500m", {"cpu": CpuWish(cores=1.5)}),
        ("pids:9", {"pids": 9}),
        ("duration:5s", {"duration": 5.0}),
        ("deadline:5m", {"deadline": 300.0}),
        ("memory:low", {"memory": MemoryWish(None, 256 * MIB)}),
        ("memory:medium", {"memory": MemoryWish(None, 1024 * MIB)}),
        ("memory:high", {}),
        ("gpu:8g,gpu_time:2m", {"gpu": GpuWish(8192 * MIB, duration=120.0)}),
        ("gpu:8g,gpu_min:4g", {"gpu": GpuWish(8192 * MIB, 4096 * MIB)}),
        ("gpu:8g,gpu_wait:9s", {"gpu": GpuWish(8192 * MIB, wait=9.0)}),
        ("gpu:1g,gpu_on_deny:cpu", {"gpu": GpuWish(1024 * MIB, on_deny=OnDeny.CPU)}),
        ("", {}),
    ],
)
def test_every_hint_is_taken(hint: str, fields: dict[str, Any]) -> None:
    expected = Intent(**{"command": "x", "on_end": OnEnd.KILL, **fields})
    assert parse_run([], ["x"], hint) == expected


def test_an_option_beats_the_hint() -> None:
    intent = parse_run(["--memory=1g"], ["x"], "memory:2g,cores:2")
    assert intent.memory.limit == 1024 * MIB
    assert intent.cpu.cores == 2.0


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("speed:9", "AGENT_RESOURCE_HINT 'speed:9': write name:value with one of memory, "),
        ("memory", "AGENT_RESOURCE_HINT 'memory': write"),
        ("gpu", "AGENT_RESOURCE_HINT 'gpu': write"),
        ("gpu_time:9s", "gpu_time: means nothing without gpu.memory"),
        ("gpu:1g,gpu_min:2g", "min 2 GiB is above memory 1 GiB"),
        ("memory:lots", "AGENT_RESOURCE_HINT memory 'lots': 'lots' is not a usable size"),
    ],
)
def test_a_hint_that_is_wrong_is_named(hint: str, words: str) -> None:
    with pytest.raises(BadValueError, match=words):
        parse_run([], ["x"], hint)


def test_a_command_that_is_not_utf8_or_very_long_still_runs() -> None:
    assert parse_run([], ["cat", "\udcff"], None).command == "cat \\udcff"
    command = parse_run([], ["\udcff" * 100_000], None).command
    assert command is not None
    assert len(command) == 32768


def test_a_message_does_not_repeat_a_value_of_any_length() -> None:
    for options in (["--" + "a" * 60_000 + "=1"], ["--tool=" + "a" * 60_000], ["a" * 60_000]):
        with pytest.raises(BadValueError) as caught:
            parse_run(options, ["x"], None)
        assert len(caught.value.message) < 500


@given(
    st.lists(
        st.sampled_from([f"--{name}" for name, _, _ in EVERY])
        | st.builds("--{}={}".format, st.sampled_from(EVERY).map(lambda e: e[0]), st.text())
        | st.text(st.characters(codec=None)),
        max_size=4,
    ),
    st.lists(st.text(st.characters(codec=None))),
    st.none() | st.text(st.characters(codec=None)),
)
def test_any_request_is_an_intent_or_a_deliberate_error(
    options: list[str], argv: list[str], hint: str | None
) -> None:
    with contextlib.suppress(BadValueError):
        parse_run(options, argv, hint).command  # noqa: B018


def test_joining_a_call_goes_without_other_options() -> None:
    assert joined([]) is None
    assert joined(["--memory", "2g"]) is None
    assert joined(["--join=c-1"]) == joined(["--join", "c-1"]) == "c-1"
    with pytest.raises(BadValueError, match="--join: stands alone"):
        joined(["--memory=2g", "--join=c-1"])


@pytest.mark.parametrize(
    ("hint", "left"),
    [
        (None, ""),
        ("gpu:yes", ""),
        ("memory:2g, gpu : a100,gpu_wait:5,cores:2", "memory:2g,cores:2"),
        ("gpus:1", "gpus:1"),
    ],
)
def test_a_host_that_leases_none_looks_over_hints_of_a_gpu(hint: str | None, left: str) -> None:
    assert without_gpu(hint) == left
