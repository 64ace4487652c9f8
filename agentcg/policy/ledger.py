"""The memory of one GPU: what is free, what has been promised, and what is left of that.

All is counted from what the driver says is free *now*, less what may still be taken of it: by the
engine up to its limit, by each lease up to its bytes. So a use that is not known is charged in full
(it is in the free figure once more, which errs on the safe side), others' use needs no figure of
its own, and memory counts as given back only when it is seen free.
"""

from dataclasses import dataclass

from agentcg.model.gpu import LeaseId, Shrink

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of planning; bytes, seconds, shares.

    `reserve` None: the larger of 1 GiB and 2 %. `floor`: what the engine's KV cache keeps.
    `engine_priority`: a lease above it may take all of the KV cache. An engine that is shrunk keeps
    its KV cache at most `high` full, and one less than `low` full gets memory back after `rest`.
    `starved`: who has waited so long is not passed by others of its priority or below, for
    `shut` seconds: what it waits for may never come, and others could have had the rest.
    `timeout` bounds one demand of the engine; `prefill` is how fast it computes KV, bytes a second.
    """

    reserve: int | None = None
    floor: int = 0
    engine_priority: int = 0
    quantum: int = 256 * MIB
    low: float = 0.85
    high: float = 0.95
    rest: float = 5.0
    disrupt_every: float = 60.0
    starved: float = 10.0
    shut: float = 60.0
    grace: float = 5.0
    timeout: float = 10.0
    prefill: float = 1.0 * GIB
    waiting: int = 8  # asks of one session

    def reserve_of(self, total: int) -> int:
        """The reserve of a device of so many bytes."""
        return max(GIB, total // 50) if self.reserve is None else self.reserve


@dataclass(frozen=True, slots=True)
class Claim:
    """What a lease may use. `used` None is unknown; `until`: when it ends, None open.

    `doubt`: use that was seen once only, and is not in `used`: it is counted twice until it is seen
    again.
    """

    lease: LeaseId
    bytes: int
    used: int | None
    priority: int = 0
    preemptible: bool = False
    ending: bool = False
    until: float | None = None
    doubt: int = 0

    @property
    def untaken(self) -> int:
        """What it may still take of what is free."""
        return max(0, self.bytes - (self.used or 0))

    @property
    def most(self) -> int:
        """What its end may give back: an unknown use is promised, and gone from what is free."""
        return (2 * self.bytes if self.used is None else max(self.bytes, self.used)) + self.doubt


@dataclass(frozen=True, slots=True)
class Allowance:
    """The engine's part. `limit` is what it may map now, `was` that without any lease.

    `told` is what it was told to keep to: less than `limit` as long as it has not heard, and less
    than `used` as long as it has not obeyed. `refused` is why it is not to be asked now, "" if it
    may be; `disrupted_at` when its use was last cut into.
    """

    limit: int
    used: int
    told: int
    was: int
    shrink: Shrink
    running: int = 0
    refused: str = ""
    disrupted_at: float | None = None

    @property
    def untaken(self) -> int:
        """What it may still map."""
        return max(0, self.limit - self.used)

    @property
    def coming(self) -> int:
        """What it holds or may map beyond what it was told, and is to give back."""
        return max(self.limit, self.used) - min(self.limit, self.told)


@dataclass(frozen=True, slots=True)
class Ledger:
    """One GPU. `closed` is why nothing may be granted on it now, "" if it may.

    `busy`: because the engine is just being asked.
    """

    gpu: str
    total: int
    free: int
    rules: Rules
    claims: tuple[Claim, ...] = ()
    engine: Allowance | None = None
    closed: str = ""
    busy: bool = False

    @property
    def reserve(self) -> int:
        """What is never given to anybody."""
        return self.rules.reserve_of(self.total)

    @property
    def room(self) -> int:
        """What can be granted now; below 0 where more is promised than there is."""
        promised = sum(claim.untaken for claim in self.claims)
        engine = 0 if self.engine is None else self.engine.untaken
        return self.free - self.reserve - promised - engine

    @property
    def floor(self) -> int:
        """The least that the engine's limit can be brought to."""
        if self.engine is None:
            return 0
        match self.engine.shrink:
            case Shrink.BYTES:
                return min(self.rules.floor, self.engine.told)
            case Shrink.ALL_KV:
                return 0
            case Shrink.NONE:
                return self.engine.limit

    @property
    def most(self) -> int:
        """What could be granted if every lease ended and the engine gave all that it can."""
        held = sum(claim.most for claim in self.claims)
        engine = 0 if self.engine is None else max(self.engine.limit, self.engine.used) - self.floor
        return self.room + held + engine
