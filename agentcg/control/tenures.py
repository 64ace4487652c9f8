"""The life of a lease: granted, held by a guard, ended, and let go once its memory is seen free."""

import asyncio
import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agentcg.control.bounded import Bounded, LateError
from agentcg.control.lease_book import Asking, Book, Held
from agentcg.errors import AgentcgError, UnavailableError
from agentcg.model.gpu import GpuNews, Lease, LeaseState
from agentcg.policy import lease_words as words

if TYPE_CHECKING:
    from agentcg.control.leasing import Parts

log = logging.getLogger(__name__)

_HOLDING = 5.0  # seconds for a guard to answer
_WAITS = frozenset({LeaseState.QUEUED, LeaseState.SHRINKING})


class Tenures:
    """Begins and ends leases. Each step is in the journal before it is done."""

    def __init__(self, parts: "Parts", book: Book) -> None:
        self._parts = parts
        self._book = book
        self._guards = Bounded("the guard of GPU memory")

    async def grant(self, asking: Asking, gpu: str, size: int, revision: int) -> None:
        """Charge it, have it held, and only then answer."""
        del self._book.asking[asking.ask.lease]
        held = asking.held or self._open(asking, gpu, revision)
        before, held.lease = held.lease, replace(held.lease, bytes=size)
        held.changing = True
        try:
            why = await self._begin(held, size)
        except LateError as e:
            # It may be held to that after all, so it stays charged until that is undone.
            self.deny(asking, words.unheld(e.message))
            if asking.held is None:
                self.end(held, words.unheld(e.message), grace=0.0)
            else:
                held.back = before.bytes
            return
        finally:
            held.changing = False
        if why:
            self._undo(asking, held, before.bytes)
            self.deny(asking, why)
            return
        if held.lease.state in _WAITS:
            held.lease = _granted(held.lease)
        self._parts.journal.put_lease(held.lease)
        if asking.answer.done():  # withdrawn
            if asking.held is not None:
                return  # a change that was made: the lease is another's to end
            self.end(held, words.RELEASED, grace=self._parts.rules.grace)
            return
        asking.answer.set_result(held.lease)
        self._parts.tell(GpuNews.GRANTED, held.lease, words.granted(held.lease), {})

    async def _begin(self, held: Held, size: int) -> str:
        """Have it in the journal, then held; why not, "" if it is."""
        if not self._parts.journal.put_lease(held.lease):
            return words.UNWRITTEN
        why = await self.hold(held, size)
        return words.unheld(why) if why else ""

    def _open(self, asking: Asking, gpu: str, revision: int) -> Held:
        now, length = self._parts.now(), asking.lease.wish.duration
        lease = replace(
            asking.lease,
            gpu=gpu,
            used=0,
            granted_at=now,
            expires_at=None if length is None else now + length,
            revision=revision if asking.shrunk else None,
            eta=None,
            reason=words.HOLDING,
        )
        ends = None if length is None else self._parts.clock() + length
        held = Held(lease, asking.leaf, ends=ends)
        self._book.held[lease.id] = held
        return held

    def _undo(self, asking: Asking, held: Held, size: int) -> None:
        held.lease = replace(held.lease, bytes=size)
        if asking.held is None:
            self._book.held.pop(held.lease.id, None)
            self._parts.journal.drop_lease(held.lease)
        else:
            self._parts.journal.put_lease(held.lease)

    async def resume(self, lease: Lease) -> None:
        """Take up a lease of the daemon before this one; it ends where its call has gone."""
        left = None
        if lease.expires_at is not None:
            left = lease.expires_at - self._parts.now()
            if lease.granted_at is not None:  # the time of day may have been set back
                left = min(left, lease.expires_at - lease.granted_at)
        clock = self._parts.clock()
        ends = None if left is None else clock + left
        if lease.state in _WAITS:  # for the guard of the daemon before this one
            lease = _granted(lease)
        held = Held(lease, self._parts.leaf(lease.call), ends=ends, before=None)
        self._book.held[lease.id] = held
        if held.ending:
            held.grace, held.after = clock + self._parts.rules.grace, self._book.reads
        if held.leaf is None:
            held.gone = True
            self.end(held, words.CALL_OVER, grace=0.0)
        elif why := await self._hold(held, lease.bytes):
            self.end(held, words.unheld(why), grace=self._parts.rules.grace)

    async def lessen(self, held: Held, size: int) -> None:
        """Hold it to less; what it uses beyond that is charged until it is seen free."""
        held.changing = True
        try:
            why = await self.hold(held, size)
        except LateError as e:
            why, held.back = e.message, held.lease.bytes
        except asyncio.CancelledError:
            held.back = held.lease.bytes
            raise
        finally:
            held.changing = False
        if why:
            raise UnavailableError(f"lease {held.lease.id}: {words.unheld(why)}; it is as it was")
        held.lease = replace(held.lease, bytes=size)
        self._parts.journal.put_lease(held.lease)

    async def put_back(self, held: Held) -> None:
        """Hold it to what it was before a change that the guard did not answer in time."""
        size = held.lease.bytes if held.back is None else held.back
        with contextlib.suppress(LateError):
            if not await self.hold(held, size):
                held.back = None
                held.lease = replace(held.lease, bytes=size)
                self._parts.journal.put_lease(held.lease)

    def extend(self, held: Held, seconds: float) -> None:
        """Let it last longer."""
        if held.ends is None or held.lease.expires_at is None:
            return
        held.ends += seconds
        held.lease = replace(held.lease, expires_at=held.lease.expires_at + seconds)
        self._parts.journal.put_lease(held.lease)

    def waits(self, asking: Asking, state: LeaseState, reason: str, eta: float | None) -> None:
        """Note why one waits, and tell it once."""
        new = not asking.lease.reason
        asking.lease = replace(asking.lease, state=state, reason=reason, eta=eta)
        if new and asking.held is None:
            self._parts.tell(GpuNews.QUEUED, asking.lease, words.queued(reason, eta), {})

    def end(self, held: Held, reason: str, *, grace: float) -> None:
        """A lease is over: its memory is to be free after `grace` seconds."""
        if held.ending:
            return
        more = self._book.asking.get(held.lease.id)
        if more is not None:
            self.deny(more, reason)
        held.grace = self._parts.clock() + grace
        held.after = self._book.reads
        held.lease = replace(held.lease, state=LeaseState.EXPIRING, reason=reason)
        self._parts.journal.put_lease(held.lease)
        if grace:
            text = words.ending(held.lease, reason, grace)
            self._parts.tell(GpuNews.REVOKED, held.lease, text, {"grace": grace})

    def deny(self, asking: Asking, reason: str) -> None:
        """Answer one who waits that there is none."""
        self._book.withdraw(asking)
        waited = self._parts.clock() - asking.ask.since
        text = words.denied(asking.lease.wish, reason, waited)
        asking.lease = replace(asking.lease, state=LeaseState.DENIED, reason=text, eta=None)
        if asking.held is None:
            self._book.close(asking.lease)
            self._parts.tell(GpuNews.DENIED, asking.lease, text, {})
        if not asking.answer.done():
            asking.answer.set_result(asking.lease)

    async def hold(self, held: Held, size: int) -> str:
        """Have a guard hold it to `size` from now on; why none could, "" if one does or none is.

        Raises:
            LateError: one may do so yet; it is `held.guard`.
        """
        leaf, why = held.leaf, ""
        if leaf is None:
            return "" if held.gone else "its call has no cgroup yet"
        guards = self._parts.guards(held.lease) if held.guard is None else (held.guard,)
        for guard in guards:
            lease = replace(held.lease, bytes=size, guard=guard.kind)
            try:
                await self._guards.do(partial(guard.hold, lease, leaf), _HOLDING)
            except LateError:
                held.guard = guard
                raise
            except AgentcgError as e:
                why = f"{guard.kind.value}: {e.message}"
                continue
            held.guard = guard
            held.lease = replace(held.lease, guard=guard.kind)
            return ""
        return why

    async def wind_up(self, held: Held, seen: int) -> None:
        """One that is over: after its grace hold it to nothing; let go once its memory is free.

        `seen`: the number of the reading that is known.
        """
        if seen > held.after and held.lease.used == 0:
            await self._let_go(held)
        elif self._parts.clock() >= held.grace and not held.cut:
            why = await self._hold(held, 0)
            held.cut = not why
            if why:
                self._sticks(held, f"cannot be held to nothing: {why}")

    async def _hold(self, held: Held, size: int) -> str:
        """The same for one that ends anyway, and is let go only once its guard does."""
        try:
            return await self.hold(held, size)
        except LateError as e:
            return e.message

    def _sticks(self, held: Held, what: str) -> None:
        if not held.stuck:
            held.stuck = True
            log.warning("lease %s: %s; the daemon goes on trying", held.lease.id, what)

    async def _let_go(self, held: Held) -> None:
        lease, guard, leaf = held.lease, held.guard, held.leaf
        if guard is not None and leaf is not None:
            try:
                await self._guards.do(partial(guard.release, lease, leaf), _HOLDING)
            except AgentcgError as e:
                self._sticks(held, f"its guard does not let go: {e.message}")
                if self._parts.leaf(lease.call) is not None:
                    return  # the guard may let it take memory: it stays charged
        held.lease = replace(held.lease, state=LeaseState.RELEASED)
        del self._book.held[lease.id]
        self._book.close(held.lease)
        self._parts.journal.drop_lease(lease)
        self._parts.tell(GpuNews.RELEASED, held.lease, "Its GPU memory is free.", {})


def _granted(lease: Lease) -> Lease:
    return replace(lease, state=LeaseState.GRANTED, reason="")
