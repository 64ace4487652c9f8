"""What a harness's hooks announce, which processes belong to it, and what its model is told.

A hook before a tool only *announces* the call: no cgroup, no grant, for the person may still be
asked whether it may run, for hours, or deny it. The call is made when the command's own process
arrives (`acg-shell`, or `acg run` inside the command), in one step with its placement. The hook
after the tool brings the outcome to the model, once; a call that goes on in the background then
is told with a later hook. None of this survives the daemon; calls do.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentcg.control import closing, running
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import AgentcgError, BadValueError
from agentcg.harness import lookup
from agentcg.harness.announced import Announced
from agentcg.harness.dialects import Dialect, speak, understand
from agentcg.harness.told import Moment, Told
from agentcg.intent.hooked import first_rule, hooked, inline_hint
from agentcg.intent.options import command_line, without_gpu
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.ids import CallId
from agentcg.model.intent import Intent
from agentcg.policy.brief import brief, earlier, worth_telling

log = logging.getLogger("agentcg")

# The client gives up after 0.9 s. The kernel tells of an exit within milliseconds.
ANSWER_WITHIN = 0.7
END_WITHIN = 0.25


async def hook(core: Core, live: LiveSession, dialect: Dialect, body: bytes) -> bytes:
    """Serve one hook; whatever goes wrong, the harness hears nothing and goes on."""
    core.state.hooks += 1
    told = understand(dialect, body)
    if told is None:
        core.state.hook_faults += 1
        return b""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            words = await _hear(core, live, dialect, told)
    except (AgentcgError, TimeoutError) as error:
        core.state.hook_faults += 1
        log.warning("hook %s of session %s: %s", ascii(told.event), live.record.id, error)
        return b""
    return speak(dialect, told, words)


def arrived(
    core: Core, live: LiveSession, line: str, env: Mapping[str, str]
) -> tuple[Announced, Intent] | None:
    """The announced call whose command line a wrapped shell is about to run, and its intent.

    The harness's id of its conversation is in the shell's environment, but not that of the call.

    Raises:
        BadValueError: the environment's hint does not parse.
    """
    waiting = live.hooked.waiting(env.get("CLAUDE_CODE_SESSION_ID"))
    one = live.hooked.take(lookup.by_line(line, waiting))
    return None if one is None else (one, _intent(core, one, env.get("AGENT_RESOURCE_HINT")))


def adopted(live: LiveSession, intent: Intent, words: str) -> tuple[Announced | None, Intent]:
    """An intent of `acg run`, under the key of the announced command that it is part of."""
    if intent.key is not None:
        return None, intent
    one = live.hooked.take(lookup.by_words(words, live.hooked.waiting()))
    return (None, intent) if one is None else (one, replace(intent, key=one.key))


def intent_of(core: Core, one: Announced | None, line: str, tool: str, hint: str | None) -> Intent:
    """The intent of a process that the observer found, with that of its announcement if it has one.

    Raises:
        BadValueError: a hint does not parse.
    """
    if one is not None:
        return _intent(core, one, hint)
    return _hinted(core, line, tool, None, (hint, inline_hint(line)))


def plain_intent_of(core: Core, one: Announced | None, line: str, tool: str) -> Intent:
    """The same without the hints."""
    if one is not None:
        line, tool = one.command, one.told.tool
    return _hinted(core, line, tool, None if one is None else one.key, ())


def _intent(core: Core, one: Announced, hint: str | None) -> Intent:
    return _hinted(core, one.command, one.told.tool, one.key, (hint, one.hint))


def _hinted(
    core: Core, line: str, tool: str, key: str | None, hints: Sequence[str | None]
) -> Intent:
    rule = first_rule(core.settings.hooks.rules, line)
    if not core.settings.gpu.enabled:
        hints = [without_gpu(hint) for hint in hints]
    return hooked(command_line([line]), tool, key, rule, hints)


async def _hear(core: Core, live: LiveSession, dialect: Dialect, told: Told) -> str:
    now = None
    match told.moment:
        case Moment.BEFORE:
            return _announce(core, live, told)
        case Moment.SESSION_START:
            return brief(live.caps, core.settings.calls) if core.settings.hooks.brief else ""
        case Moment.SESSION_END:
            live.hooked.forget(told.session)
        case Moment.AFTER:
            now = live.hooked.find(told)
            if now is not None:
                await _settle(core, live, now, interrupted=told.interrupted)
        case _:
            pass
    return _outcomes(core, live, told, now) if told.moment in dialect.hears else ""


def _announce(core: Core, live: LiveSession, told: Told) -> str:
    """Note a command that is about to run; returns what is wrong with its own hint."""
    if told.command is None or live.record.observe_only is not None:
        return ""
    key = told.key or f"hook-{secrets.token_hex(6)}"
    looks = lookup.looks(told.command)
    one = Announced(key, told, told.command, looks, inline_hint(told.command), at=core.now())
    live.hooked.add(one)
    try:
        _intent(core, one, None)
    except BadValueError as error:
        # It runs without: what a model wrote there must not stop its work.
        one.hint = None
        return f"agentcg: {error.message}"
    return ""


async def _settle(core: Core, live: LiveSession, one: Announced, *, interrupted: bool) -> None:
    """The tool is over: wait for what the kernel is about to say of its call."""
    one.over = True
    if not one.taken and not one.told.background:
        live.hooked.drop(one)  # its process came past us
    # One in the background may come only now.
    call = None if one.call is None else core.state.calls.get(one.call)
    if call is None:
        return
    running.look(core, call)
    if call.state in ALIVE and not one.told.background:
        # If it goes on all the same, the harness took it to the background.
        await _ended(call)
    if interrupted and call.state is CallState.LINGERING:
        core.spawn(closing.close(core, call))


async def _ended(call: LiveCall) -> None:
    try:
        async with asyncio.timeout(END_WITHIN):
            await call.ended.wait()
    except TimeoutError:
        return


def _outcomes(core: Core, live: LiveSession, told: Told, now: Announced | None) -> str:
    """Words on every call of this conversation that is over and not told yet."""
    words = []
    for one in live.hooked.of(told.session):
        if one.call is None or not one.over:
            continue
        record = _record(core, one.call)
        if record is not None and record.outcome is None:
            continue
        live.hooked.drop(one)
        if record is not None and record.outcome is not None and worth_telling(record.outcome):
            advice = record.outcome.advice
            words.append(f"agentcg: {advice}" if one is now else earlier(one.command, advice))
    return "\n".join(words)


def _record(core: Core, call: CallId) -> Call | None:
    live = core.state.calls.get(call)
    return core.journal.call(call) if live is None else live.record
