"""What container runtimes execute as calls of their container's session: `acg runc` asks.

The runtime puts the process into its leaf, so the call starts when that is populated. The engine
tells how it ended (exec_die), which is exact on every kernel; where the engine is gone, an empty
leaf is the end. See docs/decisions/0015-every-docker-exec-a-call.md.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence

from agentcg.api.controller import Peer
from agentcg.control import calls, closing, running, runtimes
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.enforce.place import OOM_SCORE_ADJ
from agentcg.errors import AgentcgError, BadValueError, CgroupGoneError, UnavailableError
from agentcg.intent.execed import KEY, Exec, parse
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, CallState
from agentcg.model.event import Kind
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.sandbox import clients, tree
from agentcg.sandbox.docker import Engine
from agentcg.telemetry import counters

# Most are over before; no harness gives up on a command so soon.
LOOK_AFTER = 0.5
# How long before its exec a client may have started, in seconds.
CLIENT_BEFORE = 10.0
_SIGKILL = 9


async def execed(core: Core, records: Sequence[tuple[str, str]], peer: Peer) -> tuple[str, ...]:
    """The options that a runtime's exec gets: the leaf of a new call, or none.

    Raises:
        UnavailableError: there is no call for it, and it runs all the same.
    """
    words = [text for tag, text in records if tag == "A"]
    asked = parse(words, next((text for tag, text in records if tag == "P"), None))
    live = None if asked is None else runtimes.by_container(core, asked.container)
    if asked is None or live is None or live.record.observe_only is not None:
        return ()
    if asked.asks_itself or asked.is_agent(core.settings.docker.harnesses):
        return ()
    try:
        call = await calls.declare(core, live, _intent(core, asked), None)
    except AgentcgError as e:
        core.state.fail_opens += 1
        words_of = f"docker exec runs without a call: {e.message}"
        core.tell(Kind.FAIL_OPEN, words_of, session=live.record.id)
        raise UnavailableError(e.message) from e
    # Whether it starts the runtime shows: as long as that runs it may.
    call.cancel_timers()
    core.spawn(_follow(core, call, os.dup(peer.pidfd), asked))
    return (f"--cgroup=/{tree.CALLS}/{call.record.id}",)


async def died(core: Core, container: str, exec_id: str, code: int) -> None:
    """The engine says that an exec ended, and how."""
    live = runtimes.by_container(core, container)
    call = None if live is None else core.state.by_key(live, KEY + exec_id)
    if call is None:
        return
    # Of a kill the engine tells what a shell would: 128 and the signal.
    killed = call.killed_for is not None and code == 128 + _SIGKILL
    call.status = _SIGKILL if killed else (code & 0xFF) << 8
    call.told.set()
    await _over(core, call)


def _intent(core: Core, asked: Exec) -> Intent:
    rules = core.settings.hooks.rules
    try:
        return asked.intent(rules)
    except BadValueError as e:
        # What a model wrote there must not stop its work.
        core.tell(Kind.DAEMON, f"docker exec: its hint does not count: {e.message}")
        return asked.plain_intent(rules)


async def _follow(core: Core, call: LiveCall, runtime: int, asked: Exec) -> None:
    """Wait for the runtime to be done with it, then for the client to be gone."""
    try:
        await pidfds.wait(runtime)
    finally:
        os.close(runtime)
    leaf = call.leaf
    if call.closed.is_set() or leaf is None:
        return
    populated, ran = await core.blocking(_settle, leaf)
    if not ran and call.state is CallState.DECLARED:
        await closing.close(core, call)  # the runtime failed before it came to that
        return
    if not populated and call.state is CallState.DECLARED:
        await running.unseen(core, call)
        await _over(core, call)
        return
    if call.state is CallState.DECLARED:
        # The event was missed: without inotify watches, or while the call was being changed.
        running.started(core, call, None, None)
    await asyncio.sleep(LOOK_AFTER)
    if call.state in ALIVE and core.settings.docker.orphan_after is not None:
        await _orphan(core, call, asked, core.settings.docker.orphan_after)


async def _over(core: Core, call: LiveCall) -> None:
    if call.state is CallState.DECLARED:
        running.started(core, call, None, None)
    if call.state in ALIVE:
        await running.end(core, call)


def _settle(leaf: CgroupDir) -> tuple[bool, bool]:
    """Whether a process is in there, and whether one ever was; on the way to its OOM score."""
    try:
        for pid in leaf.pids():
            # The number may have passed on since; then it has left the leaf.
            with contextlib.suppress(AgentcgError, OSError):
                if procfs.cgroup_path(pid).endswith("/" + leaf.path.name):
                    procfs.set_oom_score_adj(pid, OOM_SCORE_ADJ)
        populated = leaf.populated()
        return populated, populated or bool(counters.cpu_seconds(leaf))
    except CgroupGoneError:
        return False, True


async def _orphan(core: Core, call: LiveCall, asked: Exec, wait: float) -> None:
    """Kill the call when its docker CLI has died before it."""
    engine = Engine(core.settings.docker.socket)
    container = await core.blocking(engine.container, asked.container)
    age = core.now() - call.record.declared_at + CLIENT_BEFORE
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - age
    # Each goes through all processes of the host, so one at a time.
    async with core.searching:
        client = await core.blocking(clients.find, core.patience, container, asked.command, since)
    if client is None:
        return
    try:
        await pidfds.wait(client)
    finally:
        os.close(client)
    if call.state in ALIVE:
        await asyncio.sleep(wait)
    # One that was detached from the beginning has no client to miss.
    if call.state in ALIVE and await core.blocking(engine.attached, asked.id):
        await running.kill(core, call, Cause.ORPHANED)
