"""Who goes first: over its guarantee, lowest priority, largest overage, least work lost."""

from agentcg.model.ids import CallId
from agentcg.policy.victim import Candidate, choose


def one(name: str, priority: int, used: int, guarantee: int = 0, started: float = 0) -> Candidate:
    return Candidate(CallId(name), priority, used, guarantee, started)


def test_the_order() -> None:
    candidates = [
        one("inside", -100, 10, 10),
        one("important", 50, 900),
        one("small", -50, 20, 10, started=9),
        one("old", -50, 120, 20, started=1),
        one("young", -50, 120, 20, started=2),
    ]
    order = []
    while (chosen := choose(candidates)) is not None:
        order.append(chosen.call)
        candidates.remove(chosen)
    assert order == ["young", "old", "small", "important"]
