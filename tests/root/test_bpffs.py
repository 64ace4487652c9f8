"""Pins on this machine's kernel, in a bpf file system of the tests' own."""

import struct
from pathlib import Path

import pytest

from agentcg.errors import BpfError, UnsupportedError
from agentcg.kernel import probe_bpf
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.bpffs import Adopted, Pins, digest
from tests.root.bpf import BUILT, KEY, SAMPLE, fork, number, opened

pytestmark = pytest.mark.root


def adopted_sample(pins: Pins, version: str) -> Adopted:
    adopted = pins.adopt("sample", version)
    assert adopted is not None
    return adopted


def test_pins_outlive_their_maker_and_are_adopted(pins: Pins) -> None:
    version = digest(SAMPLE)
    with opened() as one:
        one.load()
        links = {"count_forks": one.program("count_forks").attach()}
        commands = {"set_count": one.program("set_count").command()}
        with Adopted(links, one.maps(), commands) as made:
            pins.pin("sample", version, links=links, maps=made.maps, commands=commands)
    assert pins.sets() == {"sample": version}
    assert pins.adopt("sample", "another") is None
    assert pins.adopt("other", version) is None
    with adopted_sample(pins, version) as adopted:
        assert set(adopted.links) == {"count_forks"}
        assert {"counts", "events", "per_cpu", "sample_data", "sample_rodata"} <= set(adopted.maps)
        counts = adopted.maps["counts"]
        adopted.commands["set_count"].run(struct.pack("=Q", 0) + KEY + bytes(4))
        fork()
        assert number(counts.lookup(KEY)) == 1
    # Only the pins hold it now, and it counts on.
    fork()
    with adopted_sample(pins, version) as adopted:
        assert number(adopted.maps["counts"].lookup(KEY)) == 2
        pins.remove("sample")
        assert not (pins.base / "sample").exists()
        counts = adopted.maps["counts"].clone()
    with counts:
        fork()
        assert number(counts.lookup(KEY)) == 2
    pins.remove("sample")


def test_a_set_that_cannot_be_pinned_whole_is_not_there(pins: Pins, sample: Object) -> None:
    with sample.map("counts") as counts, sample.program("count_forks").attach() as link:
        for name in ("", "with/slash"):
            with pytest.raises(BpfError, match="unfinished"):
                pins.pin(
                    "sample",
                    "1",
                    links={"x": link, name: link},
                    maps={"counts": counts},
                    commands={},
                )
            assert pins.sets() == {}
            assert list((pins.base / "sample").iterdir()) == []
        pins.pin("sample", "1", links={"x": link}, maps={"counts": counts}, commands={})
        with pytest.raises(BpfError, match="naming"):
            pins.pin("sample", "1", links={"x": link}, maps={"counts": counts}, commands={})
        assert pins.sets() == {"sample": "1"}


def test_no_bpf_file_system(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="mount -t bpf"):
        Pins(tmp_path / "agentcg")


def test_a_scheduler_outlives_its_maker_while_pinned(pins: Pins) -> None:
    why = [m for m in probe_bpf.mechanisms(Path("/sys")) if m.name == "sched_ext" and not m.works]
    if why:
        pytest.skip(why[0].detail)
    state = Path("/sys/kernel/sched_ext/state")
    with Object.open(BUILT / "fifo.bpf.o") as fifo:
        fifo.load()
        assert state.read_text() == "disabled\n"
        with Adopted({"fifo": fifo.attach_struct_ops("fifo_ops")}, fifo.maps(), {}) as made:
            pins.pin("fifo", "1", links=made.links, maps=made.maps, commands={})
    assert state.read_text() == "enabled\n"
    with Pins(pins.base).adopt("fifo", "1") or pytest.fail("not pinned") as adopted:
        assert {"fifo_ops", "fifo_bss"} <= set(adopted.maps)
        pins.remove("fifo")
        assert state.read_text() == "enabled\n"
    assert state.read_text() in {"disabling\n", "disabled\n"}
