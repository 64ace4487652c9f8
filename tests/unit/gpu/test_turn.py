"""A turn of libcuda's guard with many at the gate: each is looked at once."""

from types import SimpleNamespace
from typing import Any

import pytest
from typing_extensions import override

from agentcg.gpu.gates import Gate
from agentcg.gpu.uprobe import UprobeGuard
from agentcg.model.ids import LeaseId

MANY = 100


class Leaf:
    """With many who wait, of whom none fits."""

    def __init__(self) -> None:
        self.gates = {
            number: Gate(
                (LeaseId("g-1"),), 100, "x", 1, 5, 5, float(number), number, number, killed=False
            )
            for number in range(1, MANY + 1)
        }

    def prune(self) -> None:
        """All live."""

    def freeze(self) -> None:
        """It is."""

    def still(self, end: float) -> bool:
        del end
        return False


class Still(Leaf):
    """A leaf that stands."""

    cgroup = SimpleNamespace(id=7)
    quota = 5

    @override
    def still(self, end: float) -> bool:
        del end
        return True

    def passed(self, *gates: Gate) -> None:
        for one in gates:
            del self.gates[one.number]

    def deny(self, gate: Gate) -> set[int]:
        del self.gates[gate.number]
        return {gate.pid}


class Accounts:
    """Knows of who came early enough."""

    def __init__(self, known: float) -> None:
        self.known = known
        self.asked: list[int] = []

    def untold(self, now: float) -> None:
        """All are told of."""

    def lets(self, leaf: int, quota: int, gate: Gate) -> bool:
        return (leaf, quota) == (7, 5) and gate.number <= self.known

    def sure(self, leaf: int, now: float) -> float:
        del now
        self.asked.append(leaf)
        return self.known


class Ring:
    """Has no news."""

    def turn(self, seconds: float) -> bool:
        assert 0 < seconds < 1
        return False


def test_of_many_who_wait_each_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(*_: object) -> bool:
        raise AssertionError("one by one with each other")

    guard: Any = UprobeGuard([], timeout=600)
    leaf, accounts = Leaf(), Accounts(known=40.0)
    guard._leaves, guard._open, guard._ring = {7: leaf}, object(), Ring()
    guard._accounts, guard._new = accounts, list(leaf.gates.values())
    monkeypatch.setattr(Gate, "__eq__", compared)
    assert [one.number for one in guard.turn(100.0)] == list(range(1, 41))
    assert accounts.asked == [7]
    accounts.known = 100.0
    del leaf.gates[50]  # it has gone meanwhile
    assert [one.number for one in guard.turn(101.0)] == [*range(41, 50), *range(51, MANY + 1)]
    assert guard.turn(102.0) == []


def test_who_fits_by_now_is_not_denied() -> None:
    guard: Any = UprobeGuard([], timeout=600)
    leaf, accounts = Still(), Accounts(known=40.0)
    guard._leaves, guard._ring, guard._accounts = {7: leaf}, Ring(), accounts
    first, last, told = leaf.gates[1], leaf.gates[MANY], []
    assert guard.deny(last, lambda: told.append(last))
    assert told == [last]
    assert not guard.deny(first, lambda: told.append(first))
    assert told == [last]
    assert list(leaf.gates) == list(range(2, MANY))  # each has an answer of its own


def test_who_is_denied_holds_up_nobody_else() -> None:
    guard: Any = UprobeGuard([], timeout=600)
    leaf, ends = Still(), list[float]()
    guard._leaves, guard._ring, guard._accounts = {7: leaf}, Ring(), Accounts(known=MANY)

    def still(end: float) -> bool:
        ends.append(end)
        return False

    leaf.still = still  # type: ignore[method-assign]
    assert guard.deny(leaf.gates[1])
    assert ends == [0.0]
    assert 1 not in leaf.gates
