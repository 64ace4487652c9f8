"""libcuda watched: bpf/cuda.bpf.c on its functions, which says how; leases held to their bytes.

A call that does not fit is stopped before it takes anything and its leaf frozen: a `Gate`. Who
started the guard waits for `fd`, then and at least each second runs `turn`, and answers: `hold`
with more bytes lets go on what fits now, `deny` kills. What is not answered in time is denied.

Nothing is pinned: with the daemon go the probes and the account, and where the driver is to tell
what its processes have (`correct`) a lease begins as used to the full, until it does. Who waited
then is known by a mark on its leaf, and killed.
"""

import functools
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from agentcg.errors import AgentcgError, BadValueError, UnavailableError
from agentcg.gpu import libcuda
from agentcg.gpu.accounts import Accounts
from agentcg.gpu.gates import Gate, Leaf, kill_asker
from agentcg.kernel import probe_bpf, probe_uretprobe, procfs
from agentcg.kernel.bpf_map import RingBuffer
from agentcg.kernel.bpf_object import Object, shipped
from agentcg.kernel.bpf_records import GPU_GATED, SECOND, GpuAccount, GpuEventRecord
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.patience import Patience
from agentcg.model.gpu import GuardKind, Lease, LeaseState

log = logging.getLogger("agentcg")

OBJECT = "cuda"
_NEW = {LeaseState.QUEUED, LeaseState.SHRINKING}  # states in which it is held first
_STILL = 0.25  # seconds for a leaf to be frozen when it is answered; a turn has as much for all
_HEARING = 0.05  # seconds of a turn for what is told; the rest has the next
_DETACH = 2.0  # seconds; the rest goes on beside


def _nobody() -> None:
    """Is told."""


class UprobeGuard:
    """A GpuGuard, from `start` on. Its methods block and may be called from any thread."""

    kind = GuardKind.UPROBE

    def __init__(self, libraries: Sequence[Path], *, timeout: float) -> None:
        """`libraries` are the host's; a gate is denied after `timeout` seconds."""
        self._libraries = libraries
        self._timeout = timeout
        self._leaves: dict[int, Leaf] = {}
        self._new: list[Gate] = []
        self._told: set[int] = set()  # leaves of which not all copies are watched
        self._lock = threading.RLock()
        self._patience = Patience()
        self._open: ExitStack | None = None

    def probe(self) -> str | None:
        """Load it, and attach it for a moment."""
        if self._open is not None:
            return None
        try:
            # Before the host's own library is probed, which could kill who uses it.
            reason = libcuda.problem(self._libraries) or probe_uretprobe.trouble()
            if reason is not None:
                return reason
            with ExitStack() as tried:
                self._attached(tried, (libcuda.PLAIN,))  # detaching from all takes seconds
        except (AgentcgError, OSError) as error:
            return probe_bpf.in_words(error)
        return None

    def start(self, *, told: bool = True) -> None:
        """Watch the libraries; whoever has no lease is not looked at.

        `told`: the driver's word on what leaves use is to come (`correct`).

        Raises:
            BpfError: with libbpf's, the verifier's or the kernel's reason.
        """
        self._to_be_told = told
        with ExitStack() as stack:
            last = stack.enter_context(ExitStack())  # who is stopped is heard of until all is off
            one, self._probed = self._attached(stack, libcuda.FUNCTIONS)
            self._accounts = Accounts(one, stack)
            with one.map("gpu_events") as events:
                self._ring = last.enter_context(RingBuffer(events, self._heard))
            last.callback(self._ring.consume)
            self._open = stack.pop_all()

    @property
    def fd(self) -> int:
        """Readable when `turn` has something to do."""
        return self._ring.fd

    def turn(self, now: float) -> list[Gate]:
        """Freeze where a call waits, deny who waited too long; what is new. `now` is monotonic.

        Who is denied is new once more, as `late`. Where more was taken before the probes were there
        than may be now, the driver is read once more before one is new.
        """
        with self._lock:
            self._need()
            self._ring.turn(_HEARING)
            self._accounts.untold(now)
            late: list[Gate] = []
            end = time.monotonic() + _STILL
            for leaf in self._leaves.values():
                leaf.prune()
                leaf.freeze()
                self._settle(leaf, end)  # there may be more than when it came to the door
                late += self._overdue(leaf, now)
            waiting = {number: key for key, leaf in self._leaves.items() for number in leaf.gates}
            sure = {key: self._accounts.sure(key, now) for key in set(waiting.values())}
            came, self._new = self._new, []
            told = [gate for gate in came if gate.killed]
            for gate in came:
                if not gate.killed and gate.number in waiting:
                    (told if gate.at <= sure[waiting[gate.number]] else self._new).append(gate)
            return told + late

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """Set the leaf's quota; who waits and fits now goes on, those first that came first."""
        with self._lock:
            self._need()
            known = self._leaves.get(leaf.id)
            used = last = lease.used or 0
            if self._to_be_told and lease.state not in _NEW:
                used = lease.bytes  # an earlier daemon granted it: it may have taken all since
            if known is None:
                known = Leaf(leaf)
                self._accounts.begin(leaf.id, lease.bytes, used, last)
                self._leaves[leaf.id] = known
            elif lease.id not in known.leases:
                self._accounts.begin_more(leaf.id, used, last)
            known.leases[lease.id] = lease
            self._set(known)
        self.scan(leaf.id)

    def deny(self, gate: Gate, told: Callable[[], object] = _nobody) -> bool:
        """Kill the process that waits; False if it does not: it went on, or has gone.

        `told` is called just before.
        """
        with self._lock:
            for leaf in self._leaves.values():
                if gate.number in leaf.gates:
                    # Who was denied before may have made room for this one. No other is tried:
                    # of a thousand who wait each is denied by itself.
                    if self._all_told(leaf, 0.0):
                        self._let(leaf, gate)
                    else:
                        leaf.prune()
                if gate.number in leaf.gates:
                    told()
                    return bool(leaf.deny(gate))
        return False

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """Take its bytes from the quota; with the last lease count no more and deny who waits.

        What processes have they keep.
        """
        with self._lock:
            self._need()
            known = self._leaves.get(leaf.id)
            if known is not None:
                known.leases.pop(lease.id, None)
                if known.leases:
                    self._set(known)
                    return
            self._accounts.end(leaf.id)
            self._ring.consume()
            self._drop(self._leaves.pop(leaf.id, None))
            self._told.discard(leaf.id)
            self._probed.forget(leaf.id)

    def waits(self, leaf: CgroupDir) -> bool:
        """Whether anybody of this leaf does, and it is frozen for that."""
        with self._lock:
            known = self._leaves.get(leaf.id)
            return known is not None and bool(known.gates)

    def account(self, leaf: CgroupDir) -> GpuAccount | None:
        """What its processes have, and had; None without a lease."""
        self._need()
        return self._accounts.get(leaf.id)

    def correct(self, uses: Mapping[int, int], begun: float) -> None:
        """Take in what the driver, asked at this monotonic time, tells that leaves use, by id."""
        with self._lock:
            if self._open is not None:
                self._accounts.correct(uses, begun)

    def scan(self, leaf: int | None = None) -> None:
        """Watch the copies of the library that processes of leases, or of one, have mapped."""
        with self._lock:
            self._need()
            leaves = [one for key, one in self._leaves.items() if leaf in {None, key}]
            random.shuffle(leaves)  # or those behind one that answers slowly never had their turn
            pids = [(pid, each.cgroup.id) for each in leaves for pid in each.pids()]
            probed = self._probed
        for pid, whose in pids:
            # The file may be on a file system of the agent's own, which answers when it likes.
            self._patience.ask(whose, functools.partial(self._watch, probed, pid, whose))

    def close(self) -> None:
        """Watch nothing; who waits is denied. Detaching may end later."""
        with self._lock:
            stack, self._open = self._open, None
            if stack is None:
                return
            self._accounts.close()  # the probes stop nobody from here on
            self._ring.consume()
            for leaf in self._leaves.values():
                self._drop(leaf)
            self._leaves.clear()
        off = threading.Thread(target=stack.close, name="detach", daemon=True)
        off.start()
        off.join(_DETACH)

    def _attached(
        self, stack: ExitStack, functions: Iterable[str]
    ) -> tuple[Object, libcuda.Probed]:
        one = stack.enter_context(Object.open(shipped(OBJECT)))
        number = procfs.ns_id(os.getpid(), "pid")
        one.set("pid_namespace", number.to_bytes(4, "little"))
        one.load()
        probed = libcuda.Probed(one, functions)
        stack.callback(probed.close)
        stack.callback(one.program("ended").attach().close)
        for path in self._libraries:
            with suppress(BadValueError):  # of 32 bits; `probe` found one that is none
                probed.add(path)
        return one, probed

    def _need(self) -> None:
        if self._open is None:
            raise UnavailableError("libcuda is not watched: start the guard first")

    def _set(self, leaf: Leaf) -> None:
        self._accounts.set(leaf.cgroup.id, leaf.quota)
        self._settle(leaf, time.monotonic() + _STILL)

    def _settle(self, leaf: Leaf, end: float) -> None:
        """Let go on what fits."""
        if leaf.gates and self._all_told(leaf, end):  # else the next turn sees to it
            self._let(leaf, *sorted(leaf.gates.values(), key=lambda one: one.number))

    def _all_told(self, leaf: Leaf, end: float) -> bool:
        """A process that goes on takes all its threads along: none of them may wait unheard."""
        return leaf.still(end) and not self._ring.turn(_HEARING)

    def _let(self, leaf: Leaf, *gates: Gate) -> None:
        quota = leaf.quota
        leaf.passed(*(one for one in gates if self._accounts.lets(leaf.cgroup.id, quota, one)))

    def _overdue(self, leaf: Leaf, now: float) -> list[Gate]:
        """Deny who waited too long; and who has no number here, whom nobody could let go on."""
        those = [one for one in leaf.gates.values() if not one.pid or now - one.at >= self._timeout]
        killed = leaf.deny(*those) if those else ()
        late = {one.pid: replace(one, killed=True, late=True) for one in those}
        return [late[pid] for pid in killed]

    def _watch(self, probed: libcuda.Probed, pid: int, whose: int) -> None:
        for path in libcuda.mapped(pid):
            try:
                probed.add(path, whose)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has gone
            except (AgentcgError, OSError) as error:
                if whose not in self._told:
                    self._told.add(whose)
                    log.warning("a copy of libcuda goes unwatched: %s", error)

    def _drop(self, leaf: Leaf | None) -> None:
        if leaf is None:
            return
        leaf.deny(*leaf.gates.values())
        leaf.cgroup.close()

    def _heard(self, record: bytes) -> None:
        event = GpuEventRecord.from_buffer_copy(record)
        leaf = self._leaves.get(event.lease)
        if leaf is None:
            if event.kind == GPU_GATED and event.pid:
                kill_asker(event.pid, event.at / SECOND)  # its lease was taken back meanwhile
            return
        gate = Gate.heard(event, leaf.leases)
        if gate.killed:
            leaf.forget(gate.pid)
        else:
            leaf.add(gate)
        self._new.append(gate)
