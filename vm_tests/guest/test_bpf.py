"""Every shipped BPF object on a real kernel: loaded, or refused for a reason that doctor gives."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.errors import AgentcgError
from agentcg.kernel import bpf_object, probe_bpf
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.bpffs import BASE
from agentcg.model.host import Mechanism
from tests.bpf.alive import alive

pytestmark = pytest.mark.vm

OBJECTS = sorted(bpf_object.shipped("probe_load").parent.glob("*.bpf.o"))
# What an object cannot do without. A new object needs a line here.
NEEDS = {file: {mechanism} for mechanism, (file, _) in probe_bpf.OBJECTS.items()}
NEEDS |= {
    "governor": {"bpf.tripwire", "bpf.cgroup_storage", "bpf.ringbuf", "bpf.task_work", "sched_ext"}
}
NEEDS |= {"scheduler": {"bpf.cgroup_storage", "sched_ext"}, "observer": {"bpf.ringbuf"}}
NEEDS |= {"device_gate": {"bpf"}, "cuda": {"bpf.ringbuf"}, "probe_uretprobe": {"bpf"}}
# What a kernel has not, and a word of the reason; newer ones are to have it all.
MISSING: dict[str, dict[str, str]] = {
    "6.12": {
        "bpf.task_work": "bpf_task_work_schedule_resume",
        "sched_ext": "SCHED_CLASS_EXT",
        "sched_ext.server": "rq___probe.ext_server",
    },
}


@pytest.fixture(scope="module")
def found() -> dict[str, Mechanism]:
    return {mechanism.name: mechanism for mechanism in probe_bpf.mechanisms(Path("/sys"))}


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    ours = set()
    for path in OBJECTS:
        with Object.open(path) as one:
            ours |= {name[:15] for name in (*one.programs(), *one.map_names())}
    before, pinned = alive(), _pinned()
    yield
    # The kernel frees a program, and then its maps, a moment after the last descriptor is closed.
    end = time.monotonic() + 60
    while (left := {one for one in alive() - before if one[2] in ours}) and time.monotonic() < end:
        time.sleep(0.2)
    assert left == set()
    assert _pinned() == pinned


def _pinned() -> set[Path]:
    return set(BASE.rglob("*"))


def test_the_probe_finds_what_the_kernel_has(found: dict[str, Mechanism]) -> None:
    series = ".".join(os.uname().release.split(".")[:2])
    missing = {name: one.detail for name, one in found.items() if not one.works}
    for name, word in MISSING.get(series, {}).items():
        assert word in missing.pop(name)
    assert missing == {}


def test_the_daemon_finds_the_same_inside_its_unit(found: dict[str, Mechanism]) -> None:
    done = subprocess.run(
        ["/opt/agentcg/bin/agentcg", "doctor", "-o", "json"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    said = {one["name"]: one for one in json.loads(done.stdout)["mechanisms"]}
    for name, one in found.items():
        assert (said[name]["works"], said[name]["detail"]) == (one.works, one.detail)


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_every_object_loads_where_its_mechanisms_work(
    path: Path, found: dict[str, Mechanism], tmp_path: Path
) -> None:
    lacking = [found[name] for name in NEEDS[path.name.removesuffix(".bpf.o")]]
    lacking = [one for one in lacking if not one.works]
    with Object.open(path) as one:
        for program in one.programs().values():
            program.autoload(on=True)
        if not lacking:
            one.load(tmp_path / "verifier.log")
            return
        with pytest.raises(AgentcgError):
            one.load()
