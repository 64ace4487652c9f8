"""The loader on this machine's kernel: an object of the tests' own, its maps, links, refusals."""

import asyncio
import fcntl
import os
import struct
import time
from pathlib import Path

import pytest

from agentcg.errors import BadValueError, BpfError, UnsupportedError
from agentcg.kernel import libbpf, probe_bpf
from agentcg.kernel.bpf_map import RingBuffer
from agentcg.kernel.bpf_object import Object
from tests.bpf.alive import alive
from tests.root.bpf import FIRST, KEY, fork, number, opened

pytestmark = pytest.mark.root


def test_a_program_counts_while_its_link_lives(sample: Object) -> None:
    with sample.map("counts") as counts, sample.map("per_cpu") as per_cpu:
        counts.update(KEY, bytes(8))
        with sample.program("count_forks").attach():
            fork()
            fork()
            assert number(counts.lookup(KEY)) == 2
            values = per_cpu.lookup_cpus(FIRST)
            assert values is not None
            assert len(values) == libbpf.lib().libbpf_num_possible_cpus()
            assert {len(value) for value in values} == {4}
            assert sum(map(number, values)) == 2
        fork()
        assert number(counts.lookup(KEY)) == 2


def test_a_program_that_is_run_with_an_argument(sample: Object) -> None:
    with sample.map("counts") as counts, sample.program("set_count").command() as command:
        command.run(struct.pack("=QII", 7, 5, 0))
        assert number(counts.lookup(struct.pack("=I", 5))) == 7
        with pytest.raises(BpfError, match="program set_count: Invalid argument"):
            command.run(struct.pack("=QII", 7, 0, 0))
        with pytest.raises(BpfError, match="running set_count"):
            command.run(b"short")


def test_global_variables_are_set_before_loading() -> None:
    with opened() as one:
        one.set("number", struct.pack("=Q", 5000))
        with pytest.raises(BadValueError, match="number has 8 bytes, not 4"):
            one.set("number", bytes(4))
        with pytest.raises(BpfError, match="no variable nonsense"):
            one.set("nonsense", bytes(4))
        one.resize("counts", 2)
        one.load()
        with one.map("counts") as counts:
            assert counts.max_entries == 2
        with pytest.raises(BpfError, match="is loaded: resize map counts before"):
            one.resize("counts", 3)
        with pytest.raises(BpfError, match="is loaded: set number before"):
            one.set("number", bytes(8))
        with one.program("count_forks").attach(), one.map(".data") as data:
            fork()
            assert struct.pack("=Q", 5001) in (data.lookup(FIRST) or b"")


def test_maps_by_key(sample: Object) -> None:
    with sample.map("counts") as counts:
        assert (counts.name, counts.key_size, counts.value_size) == ("counts", 4, 8)
        assert counts.keys() == []
        keys = [struct.pack("=I", n) for n in range(8)]
        for n, key in enumerate(keys):
            counts.update(key, struct.pack("=Q", n * n))
        assert sorted(counts.keys()) == keys
        assert number(counts.lookup(keys[3])) == 9
        with pytest.raises(BpfError, match="map counts: setting 63000000"):
            counts.update(struct.pack("=I", 99), bytes(8))
        assert counts.delete(keys[3])
        assert not counts.delete(keys[3])
        assert counts.lookup(keys[3]) is None
        for wrong in (bytes(3), bytes(5)):
            with pytest.raises(BadValueError, match="a key has 4 bytes"):
                counts.lookup(wrong)
        with pytest.raises(BadValueError, match="a value has 8 bytes"):
            counts.update(keys[0], bytes(4))
        with pytest.raises(BadValueError, match="use lookup"):
            counts.lookup_cpus(keys[0])


async def test_ring_buffer_in_the_event_loop(sample: Object) -> None:
    told: list[bytes] = []
    come = asyncio.Event()
    with sample.map("events") as events, RingBuffer(events, told.append) as ring:

        def ready() -> None:
            ring.consume()
            come.set()

        asyncio.get_running_loop().add_reader(ring.fd, ready)
        with sample.program("count_forks").attach():
            fork()
        await asyncio.wait_for(come.wait(), 5)
        asyncio.get_running_loop().remove_reader(ring.fd)
        assert len(told) == 1
        assert struct.unpack_from("=Qi3x9s", told[0]) == (101, -7, b"f" + bytes(8))
        assert told[0].endswith(KEY)


def test_what_the_taker_raises_is_raised_and_the_rest_comes_later(sample: Object) -> None:
    told: list[bytes] = []

    def take(record: bytes) -> None:
        told.append(record)
        if len(told) == 1:
            raise ValueError("the first")

    with sample.map("events") as events, RingBuffer(events, take) as ring:
        with sample.program("count_forks").attach():
            fork()
            fork()
        with pytest.raises(ValueError, match="the first"):
            ring.consume()
        assert ring.consume() == 1
        assert len(told) == 2
    ring.close()
    with pytest.raises(BpfError, match="closed"):
        ring.consume()


def test_a_turn_is_cut_short_and_the_rest_comes_with_the_next(sample: Object) -> None:
    told: list[bytes] = []
    with sample.map("events") as events, RingBuffer(events, told.append) as ring:
        with sample.program("count_forks").attach():
            fork()
            fork()
        assert ring.turn(0.0)
        assert len(told) == 1
        assert not ring.turn(60)
        assert len(told) == 2
        assert not ring.turn(0.0)
        assert ring.consume() == 0


def test_a_refusal_has_the_verifiers_reason_and_its_whole_log(tmp_path: Path) -> None:
    log = tmp_path / "verifier.log"
    with opened() as one:
        one.program("refused").autoload(on=True)
        with pytest.raises(BpfError, match=r"R0 invalid mem access 'map_value_or_null'") as refusal:
            one.load(log)
    assert str(log) in refusal.value.message
    assert "BEGIN PROG LOAD LOG" in log.read_text()
    assert log.read_text() == refusal.value.log


def test_an_unreadable_object_says_why(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bpf.o"
    wrong.write_text("no ELF")
    with pytest.raises(BpfError, match=r"wrong\.bpf\.o: reading it"):
        Object.open(wrong)
    with pytest.raises(BpfError, match="No such file"):
        Object.open(tmp_path / "missing.bpf.o")


def test_everything_may_be_closed_twice_and_says_so_when_used() -> None:
    one = opened()
    one.load()
    program, counts = one.program("count_forks"), one.map("counts")
    link = program.attach()
    for thing in (link, counts, one):
        thing.close()
        thing.close()
    for use in (lambda: link.fd, lambda: counts.lookup(KEY), program.attach, one.load):
        with pytest.raises(BpfError, match="closed"):
            use()


def test_no_descriptor_passes_an_exec(sample: Object) -> None:
    with (
        sample.map("counts") as counts,
        counts.clone() as second,
        sample.program("count_forks").attach() as link,
    ):
        for fd in (counts.fd, second.fd, link.fd):
            assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_map_of_another_object_is_reused(sample: Object) -> None:
    with sample.map("counts") as counts, opened() as other:
        other.reuse("counts", counts)
        other.load()
        with other.map("counts") as same:
            assert same.id == counts.id
            same.update(KEY, struct.pack("=Q", 7))
        assert number(counts.lookup(KEY)) == 7
        with pytest.raises(BpfError, match="is loaded: reuse map counts before"):
            other.reuse("counts", counts)


def test_an_old_library_is_named_where_a_scheduler_is_wanted(sample: Object) -> None:
    if libbpf.links_struct_ops():
        pytest.skip(f"libbpf {libbpf.version()} can do it")
    with pytest.raises(UnsupportedError, match=r"libbpf v\S+ is too old: 1.2"):
        sample.attach_struct_ops("ops")


def test_the_probe_is_quick_and_leaves_nothing_loaded() -> None:
    before, begin = alive(), time.monotonic()
    found = {mechanism.name: mechanism for mechanism in probe_bpf.mechanisms(Path("/sys"))}
    assert time.monotonic() - begin < (10 if "AGENTCG_IN_VM" in os.environ else 1)
    # The kernel frees a program, and then its maps, a moment after the last descriptor is closed.
    end = time.monotonic() + 30
    while alive() - before and time.monotonic() < end:
        time.sleep(0.01)
    assert alive() - before == set()
    assert set(found) == {"btf", *probe_bpf.OBJECTS}
    for mechanism in found.values():
        assert mechanism.detail
