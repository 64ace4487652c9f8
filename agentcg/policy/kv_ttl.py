"""Whether the KV cache of a program in a tool call is worth keeping.

After Continuum (arXiv 2511.02230): to keep it for a time t saves what it costs to compute anew, if
the tool is back by then, and takes t. The best t maximizes P(t) * benefit - t, where P is how often
tools of the class took no longer; here of what is left of one that runs for a while already.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agentcg.model.gpu import Program
from agentcg.policy.lease_plan import Idle
from agentcg.policy.quantiles import spread

KEEP = 200  # durations of a class, and of all
ENOUGH = 100  # of a class, before its own figures count
_KINDS = 256
_MEAN = 1.0  # seconds of a tool call, while nothing is known


def best_ttl(left: Sequence[float], benefit: float) -> float:
    """The best time to keep it for, of the seconds that calls like it had left to run."""
    if not left:
        return 0.0
    ranked = sorted(left)
    count = len(ranked)
    gains = [(benefit * n / count - t, t) for n, t in enumerate(ranked, 1)]
    gain, ttl = max(gains, key=lambda pair: (pair[0], -pair[1]))
    return ttl if gain > 0 else 0.0


def cold_ttl(mean: float, benefit: float) -> float:
    """The same where no more than a mean is known: durations then count as exponential."""
    return mean * math.log(benefit / mean) if benefit > mean > 0 else 0.0


@dataclass(slots=True)
class Durations:
    """How long tool calls took, by class. Bounded; the class used longest ago goes first."""

    kinds: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    all: deque[float] = field(default_factory=lambda: deque(maxlen=KEEP))

    def add(self, kind: str, seconds: float) -> None:
        """Take in a call that has closed."""
        seconds = max(0.0, seconds)
        self.kinds.setdefault(kind, deque(maxlen=KEEP)).append(seconds)
        self.kinds.move_to_end(kind)
        while len(self.kinds) > _KINDS:
            self.kinds.popitem(last=False)
        self.all.append(seconds)

    def outlasts(self, kind: str | None, elapsed: float, benefit: float) -> bool:
        """Whether one that runs since then rather outlasts the best time to keep its KV."""
        known = self.kinds.get(kind or "", ())
        if len(known) <= ENOUGH:
            known = self.all
        left = [took - elapsed for took in known if took > elapsed]
        if len(known) > ENOUGH and left:
            return (spread(left).p50 or 0.0) > best_ttl(left, benefit)
        mean = sum(known) / len(known) if known else _MEAN
        # What is left of an exponential does not depend on how long it has run.
        return mean * math.log(2) > cold_ttl(mean, benefit)


def idle(
    programs: Iterable[Program], durations: Durations, now: float, prefill: float
) -> list[Idle]:
    """Programs whose KV is rather not worth keeping, the smallest context first.

    `prefill` is how many bytes of KV the engine computes a second; a context of which the size is
    not known is left alone.
    """
    found = [
        Idle(one.id, one.kv_bytes)
        for one in programs
        if one.kv_bytes and one.tool_since is not None and _idles(one, durations, now, prefill)
    ]
    return sorted(found, key=lambda one: one.kv_bytes)


def _idles(one: Program, durations: Durations, now: float, prefill: float) -> bool:
    elapsed = max(0.0, now - (one.tool_since or now))
    benefit = (one.kv_bytes or 0) / prefill
    if one.tool_eta is not None and (left := one.tool_eta - elapsed) > 0:
        return left > best_ttl([left], benefit)
    return durations.outlasts(one.tool, elapsed, benefit)
