"""Which guards are taken, with guards that do what they are told."""

from dataclasses import dataclass, field

import pytest

from agentcg.errors import UnavailableError
from agentcg.gpu.guard import GpuGuard
from agentcg.gpu.ladder import Ladder, Together
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GuardKind, Lease
from agentcg.settings_parts import Gpu
from tests.unit.gpu.leases import lease

ALL = tuple(GuardKind)
NONE, SHIM, NVML, DEVICE, UPROBE, DRIVER = ALL


@dataclass
class Told:
    kind: GuardKind
    done: list[str] = field(default_factory=list)
    reason: str | None = None
    refuses: bool = False

    def probe(self) -> str | None:
        return self.reason

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        if self.refuses:
            raise UnavailableError(f"{self.kind} refuses")
        self.done.append(f"hold {self.kind}")

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        self.done.append(f"release {self.kind}")
        if self.refuses:
            raise UnavailableError(f"{self.kind} refuses")

    def close(self) -> None:
        self.done.append(f"close {self.kind}")


def ladder(*kinds: GuardKind, allowed: tuple[GuardKind, ...] = ALL) -> Ladder:
    return Ladder({kind: Told(kind) for kind in kinds}, allowed)


def parts(one: Ladder) -> list[list[GuardKind]]:
    rungs = one.guards(lease())
    return [[part.kind for part in rung.parts] for rung in rungs if isinstance(rung, Together)]


def test_the_strongest_first_each_beside_the_watchdog_and_the_gate() -> None:
    one = ladder(NVML, DEVICE, UPROBE, DRIVER)
    assert parts(one) == [[DRIVER, NVML, DEVICE], [UPROBE, NVML, DEVICE], [NVML, DEVICE]]
    assert parts(ladder(UPROBE, NVML)) == [[UPROBE, NVML], [NVML]]
    assert [rung.kind for rung in one.guards(lease())] == [DRIVER, UPROBE, DEVICE]
    assert one.strongest is DRIVER


def test_the_shim_stands_beside_each_and_alone_before_nothing() -> None:
    one = ladder(SHIM, NVML, DEVICE, DRIVER)
    beside = [[DRIVER, NVML, SHIM, DEVICE], [NVML, SHIM, DEVICE], [SHIM, DEVICE]]
    assert parts(one) == beside
    assert parts(ladder(SHIM)) == [[SHIM]]
    assert ladder(SHIM).strongest is SHIM


def test_the_gate_alone_and_nothing() -> None:
    assert [rung.kind for rung in ladder(DEVICE).guards(lease())] == [DEVICE]
    assert ladder().guards(lease()) == []
    assert ladder().strongest is NONE


def test_reasons() -> None:
    found: dict[GuardKind, GpuGuard | str] = {
        NVML: Told(NVML),
        DEVICE: Told(DEVICE, reason="no module"),
        UPROBE: "no BPF",
    }
    one = Ladder(found, (NVML, DEVICE, UPROBE))
    assert one.reasons[NONE] == one.reasons[NVML] == ""
    assert (one.reasons[DEVICE], one.reasons[UPROBE]) == ("no module", "no BPF")
    assert "gpu.guards" in one.reasons[DRIVER]
    assert (one.working(NVML), one.working(DEVICE)) == (True, False)


def test_what_is_not_allowed_is_not_tried() -> None:
    tried = Told(DRIVER, reason="it was tried")
    assert "gpu.guards" in Ladder({DRIVER: tried}, (NVML,)).reasons[DRIVER]


def test_what_is_put_into_programs_is_asked_for_by_hand() -> None:
    assert set(ALL) - set(Gpu().guards) == {SHIM, UPROBE}


def test_the_gate_opens_last_and_closes_first() -> None:
    done: list[str] = []
    one = Together(Told(UPROBE, done), Told(DEVICE, done))
    one.hold(lease(), None)  # type: ignore[arg-type]
    one.release(lease(), None)  # type: ignore[arg-type]
    assert done == ["hold uprobe", "hold device", "release device", "release uprobe"]


def test_all_or_none() -> None:
    done: list[str] = []
    one = Together(Told(DRIVER, done), Told(DEVICE, done, refuses=True))
    with pytest.raises(UnavailableError, match="device refuses"):
        one.hold(lease(), None)  # type: ignore[arg-type]
    assert done == ["hold driver", "release device", "release driver"]


def test_a_change_that_is_refused_leaves_it_held() -> None:
    done: list[str] = []
    gate = Told(DEVICE, done)
    one = Together(Told(DRIVER, done), gate)
    one.hold(lease(), None)  # type: ignore[arg-type]
    gate.refuses = True
    with pytest.raises(UnavailableError):
        one.hold(lease(memory=200), None)  # type: ignore[arg-type]
    assert "release driver" not in done


def test_the_end() -> None:
    done: list[str] = []
    Ladder({NVML: Told(NVML, done), UPROBE: Told(UPROBE, done)}, ALL).close()
    assert sorted(done) == ["close nvml", "close uprobe"]
