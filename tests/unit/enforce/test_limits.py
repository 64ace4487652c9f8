"""Grants and caps as files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.enforce import limits
from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.caps import Caps
from agentcg.model.grant import Grant
from agentcg.model.host import Host, Mechanism

KNOBS = (
    "memory.min",
    "memory.max",
    "memory.swap.max",
    "memory.high",
    "memory.oom.group",
    "pids.max",
    "cpu.weight",
    "cpuset.cpus",
    "io.weight",
)
GRANT = Grant(
    memory_guarantee=1024,
    memory_limit=4096,
    pids=64,
    cpu_weight=300,
    cpus=frozenset({3, 1}),
    io_weight=50,
)
Make = Callable[..., CgroupDir]


def host(**mechanisms: bool) -> Host:
    """A host on which these mechanisms were probed; "_" in a name stands for "."."""
    probed = {
        name.replace("_", "."): Mechanism(name, works, f"{name} does not work here")
        for name, works in mechanisms.items()
    }
    return Host("6.12.0", frozenset({0}), 2**30, probed, "/sys/fs/cgroup")


ALL = host(memory=True, pids=True, cpu=True, cpuset=True, io_weight=True, swap=False)


def knobs(cgroup: CgroupDir) -> dict[str, str]:
    return {path.name: path.read_text() for path in cgroup.path.iterdir()}


def test_every_limit_of_a_grant_is_written_to_its_knob(make: Make) -> None:
    leaf = make("leaf", *KNOBS)
    enforced = limits.apply(leaf, GRANT, ALL)
    assert knobs(leaf) == {
        "memory.min": "1024",
        "memory.max": "4096",
        "memory.swap.max": "0",
        "memory.high": "old",
        "memory.oom.group": "1",
        "pids.max": "64",
        "cpu.weight": "300",
        "cpuset.cpus": "1,3",
        "io.weight": "default 50",
    }
    assert enforced == {
        "memory.guarantee": "ok",
        "memory.limit": "ok",
        "memory.oom_group": "ok",
        "pids": "ok",
        "cpu.weight": "ok",
        "cpu.cores": "ok",
        "io.weight": "ok",
    }


def test_a_grant_without_limits_lifts_them(make: Make) -> None:
    leaf = make("leaf", *KNOBS)
    enforced = limits.apply(leaf, Grant(), ALL)
    written = knobs(leaf)
    assert (written["memory.max"], written["memory.min"], written["pids.max"]) == (
        "max",
        "0",
        "max",
    )
    assert (written["cpuset.cpus"], written["io.weight"]) == ("old", "old")
    assert "cpu.cores" not in enforced
    assert "io.weight" not in enforced


def test_a_host_without_controllers_says_why_for_every_knob(make: Make) -> None:
    bare = host(memory=False, pids=False, cpu=False, cpuset=False, io_weight=False)
    assert limits.apply(make("leaf"), GRANT, bare) == {
        "memory.guarantee": "unsupported: memory does not work here",
        "memory.limit": "unsupported: memory does not work here",
        "memory.oom_group": "unsupported: memory does not work here",
        "pids": "unsupported: pids does not work here",
        "cpu.weight": "unsupported: cpu does not work here",
        "cpu.cores": "unsupported: cpuset does not work here",
        "io.weight": "unsupported: io_weight does not work here",
    }


def test_a_knob_that_is_missing_where_its_controller_works_is_named(make: Make) -> None:
    leaf = make("leaf", *(knob for knob in KNOBS if knob != "memory.oom.group"))
    enforced = limits.apply(leaf, GRANT, ALL)
    assert enforced["memory.oom_group"] == "unsupported: this cgroup has no memory.oom.group"
    assert enforced["memory.limit"] == "ok"


def test_a_weight_for_io_that_would_do_nothing_is_not_written(make: Make) -> None:
    leaf = make("leaf", *KNOBS)
    enforced = limits.apply(leaf, GRANT, host(io_weight=False))
    assert enforced["io.weight"] == "unsupported: io_weight does not work here"
    assert knobs(leaf)["io.weight"] == "old"


def test_a_limit_that_leaves_swap_open_does_not_count(make: Make) -> None:
    leaf = make("leaf", *(knob for knob in KNOBS if knob != "memory.swap.max"))
    enforced = limits.apply(leaf, GRANT, host(memory=True, swap=True))
    assert enforced["memory.swap"] == "unsupported: this cgroup has no memory.swap.max"
    assert enforced["memory.limit"] == (
        "unsupported: swap is open, this cgroup has no memory.swap.max"
    )


def test_a_host_without_swap_needs_no_word_on_it(make: Make) -> None:
    leaf = make("leaf", *(knob for knob in KNOBS if knob != "memory.swap.max"))
    enforced = limits.apply(leaf, GRANT, ALL)
    assert enforced["memory.limit"] == "ok"
    assert "memory.swap" not in enforced


def test_a_write_that_the_kernel_refuses_is_told_and_the_others_hold(make: Make) -> None:
    leaf = make("leaf", *(knob for knob in KNOBS if knob != "cpuset.cpus"))
    (leaf.path / "cpuset.cpus").mkdir()
    enforced = limits.apply(leaf, GRANT, ALL)
    assert enforced["cpu.cores"].startswith("unsupported: ")
    assert "writing '1,3'" in enforced["cpu.cores"]
    assert enforced["pids"] == "ok"


def test_a_leaf_that_is_gone_is_no_unsupported_host(make: Make) -> None:
    leaf = make("leaf")
    leaf.path.rmdir()
    with pytest.raises(CgroupGoneError):
        limits.apply(leaf, GRANT, ALL)


def test_the_caps_of_both_halves_are_written(make: Make) -> None:
    agent, calls = make("agent", "memory.max", "pids.max"), make("calls", *KNOBS)
    limits.apply_caps(agent=agent, calls=calls, caps=Caps(1, 3000, 2000, 300, 200))
    assert knobs(agent) == {"memory.max": "2000", "pids.max": "200"}
    written = knobs(calls)
    assert (written["memory.max"], written["pids.max"]) == ("3000", "300")
    assert written["memory.swap.max"] == "0"


def test_a_cap_that_there_is_none_of_is_not_written(make: Make) -> None:
    agent, calls = make("agent", *KNOBS), make("calls", *KNOBS)
    limits.apply_caps(agent=agent, calls=calls, caps=Caps(1, None, None, None, None))
    assert set(knobs(agent).values()) == set(knobs(calls).values()) == {"old"}


def test_caps_on_a_host_without_the_controllers_are_left_out(make: Make) -> None:
    agent, calls = make("agent"), make("calls", "pids.max")
    limits.apply_caps(agent=agent, calls=calls, caps=Caps(1, 3000, 2000, 300, 200))
    assert knobs(calls) == {"pids.max": "300"}


def test_a_cap_that_the_kernel_refuses_is_an_error(make: Make) -> None:
    agent, calls = make("agent"), make("calls")
    (calls.path / "memory.max").mkdir()
    with pytest.raises(CgroupError, match=r"memory.max: writing '3000'"):
        limits.apply_caps(agent=agent, calls=calls, caps=Caps(1, 3000, None, None, None))


def test_a_weight_is_set_where_there_is_one(make: Make, tmp_path: Path) -> None:
    cgroup = make("a", "cpu.weight")
    limits.weight(cgroup, 1)
    assert knobs(cgroup) == {"cpu.weight": "1"}
    bare = make("b")
    limits.weight(bare, 1)
    bare.path.rmdir()
    limits.weight(bare, 1)
    assert not (tmp_path / "b").exists()


def test_applying_a_grant_again_gives_the_same_answer(make: Make) -> None:
    leaf = make("leaf", *KNOBS)
    first = limits.apply(leaf, GRANT, ALL)
    assert limits.apply(leaf, replace(GRANT, memory_limit=8192), ALL) == first
    assert knobs(leaf)["memory.max"] == "8192"
