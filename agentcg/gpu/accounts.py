"""The accounts of bpf/cuda.bpf.c, by the id of a leaf: quota, use, and what was there before."""

import errno
import math
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from agentcg.errors import BpfError
from agentcg.gpu.before import Before
from agentcg.gpu.gates import Gate
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.bpf_records import GpuAccount, GpuBeforeRecord, GpuVerdictRecord

_READ = 2.0  # seconds for the driver to be read, before one is denied for what was there before
_LOOK_EVERY = 1.0  # seconds between looks at how many ends the kernel left out


class Accounts:
    """Those of a loaded object. Its caller sees to it that one thread at a time writes."""

    def __init__(self, one: Object, stack: ExitStack) -> None:
        """The stack closes what it opens."""
        self._map = stack.enter_context(one.map("accounts"))
        self._decide = stack.enter_context(one.program("decide").command())
        self._correct = stack.enter_context(one.program("correct").command())
        self._sweep = stack.enter_context(one.program("sweep").command())
        self._unheard = stack.enter_context(one.program("unheard").command())
        self._ended = stack.enter_context(one.program("ended").command())
        self._left_out, self._look_due = 0, 0.0
        self._before: dict[int, Before] = {}

    def begin(self, leaf: int, quota: int, used: int, last: int) -> None:
        """Count from now on; `used` is what its processes may have, `last` what they were seen to.

        That counts where the driver, which is to tell, does not.
        """
        account = GpuAccount(quota=quota, used=used, before=used)
        self._map.update(_key(leaf), bytes(account))
        self._before[leaf] = Before(last=last, due=time.monotonic() + _READ)

    def begin_more(self, leaf: int, used: int, last: int) -> None:
        """The same of another lease of the leaf, by which its processes may have more."""
        account = self.get(leaf)
        if account is not None and used:
            self._correct.run(bytes(GpuBeforeRecord(leaf, account.before + used)))
            before = self._before[leaf]
            before.last, before.due = before.last + last, time.monotonic() + _READ

    def set(self, leaf: int, quota: int) -> None:
        """Allow so much."""
        self._decide.run(bytes(GpuVerdictRecord(lease=leaf, quota=quota)))

    def lets(self, leaf: int, quota: int, gate: Gate) -> bool:
        """Whether who waits goes on now: it fits, or does not wait any more."""
        words = GpuVerdictRecord(leaf, quota, gate.thread, gate.number)
        try:
            self._decide.run(bytes(words))
        except BpfError as error:
            return error.errno == errno.ESRCH
        return True

    def get(self, leaf: int) -> GpuAccount | None:
        """What its processes have, and had; None where nothing is counted."""
        raw = self._map.lookup(_key(leaf))
        return None if raw is None else GpuAccount.from_buffer_copy(raw)

    def correct(self, uses: Mapping[int, int], begun: float) -> None:
        """Hold what was there before against what the driver, asked at `begun`, tells of leaves."""
        for leaf, told in uses.items():
            before, account = self._before.get(leaf), self.get(leaf)
            if before is None or account is None:
                continue
            left = before.read(
                told,
                begun,
                size=account.before,
                used=account.used,
                changes=account.changes,
                hidden=account.hidden,
            )
            if left is not None:
                with suppress(BpfError):  # too many change it meanwhile: by the next reading
                    self._correct.run(bytes(GpuBeforeRecord(leaf, left)))

    def untold(self, now: float) -> None:
        """Go by what was last seen where the driver has told nothing, and see to unheard ends."""
        if now >= self._look_due:
            self._look_due = now + _LOOK_EVERY
            self._see_to_unheard()
        for leaf, before in self._before.items():
            last = before.untold(now)
            if last is not None:
                with suppress(BpfError):
                    self._correct.run(bytes(GpuBeforeRecord(leaf, last)))

    def _see_to_unheard(self) -> None:
        left_out = self._ended.left_out()
        if left_out != self._left_out:
            self._unheard.run(bytes(8))
            self._left_out = left_out

    def sure(self, leaf: int, now: float) -> float:
        """Who came to the gate by this time has not only what was there before to wait for.

        Of who came later the driver is to tell first, if it does so soon: that may have gone.
        """
        before, account = self._before.get(leaf), self.get(leaf)
        if before is None or account is None or not account.before:
            return math.inf  # also who came since this turn began
        return max(before.at, now - _READ)

    def end(self, leaf: int) -> None:
        """Count no more: nobody is stopped from here on, and nothing is noted."""
        self._drop(leaf)
        self._sweep.run(_key(leaf))

    def close(self) -> None:
        """Those of all; what is noted goes with the object."""
        for leaf in list(self._before):
            self._drop(leaf)

    def _drop(self, leaf: int) -> None:
        self._map.delete(_key(leaf))
        self._before.pop(leaf, None)


def _key(cgroup_id: int) -> bytes:
    return cgroup_id.to_bytes(8, "little")
