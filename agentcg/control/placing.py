"""A waiting client of the native kind: which call it is to be, and its way into it."""

from collections.abc import Sequence
from dataclasses import replace

from agentcg.api.controller import Peer
from agentcg.control import calls, hooking, lending
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import AgentcgError, BadValueError, LimitError, UnavailableError
from agentcg.harness.announced import Announced
from agentcg.intent.options import joined, parse_run, without_gpu
from agentcg.model.event import Kind
from agentcg.model.intent import Intent
from agentcg.model.parent import parent
from agentcg.model.view import Placement


async def run(
    core: Core, live: LiveSession, peer: Peer, records: Sequence[tuple[str, str]], *, line: bool
) -> Placement:
    """Serve `acg run`, or with `line` `acg shell`, whose one word is a command line."""
    try:
        options = [] if line else [text for tag, text in records if tag == "O"]
        if (call := joined(options)) is not None:
            return _placement(await calls.join(core, live, call, peer))
        announced, intent = _intent(core, live, records, line=line)
        if intent is None or live.record.observe_only is not None:
            # No call of anybody's, or only looked at: it runs as if no daemon were there.
            return Placement({})
        made = await calls.declare(core, live, intent, peer)
    except AgentcgError as e:
        if not line and isinstance(e, BadValueError | LimitError):
            raise
        # Who runs `acg run` asked for a call; who has a shell wrapped did not, and runs anyway.
        core.state.fail_opens += 1
        words = f"a command runs without a call: {e.message}"
        core.tell(Kind.FAIL_OPEN, words, session=live.record.id)
        raise UnavailableError(e.message) from e
    if announced is not None:
        announced.call = made.record.id
    notes = made.record.grant.notes
    # A wrapped shell's command runs whatever happens, and finds no GPU.
    if not line and (why := lending.refused(made)):
        raise LimitError(f"{why} Or give --gpu-on-deny cpu, to run without the GPU.")
    return replace(_placement(made), messages=tuple(f"agentcg: {note}" for note in notes))


def _placement(call: LiveCall) -> Placement:
    return Placement({**call.record.grant.env, "AGENTCG_CALL": call.record.id})


def _intent(
    core: Core, live: LiveSession, records: Sequence[tuple[str, str]], *, line: bool
) -> tuple[Announced | None, Intent | None]:
    options = [text for tag, text in records if tag == "O"]
    argv = [text for tag, text in records if tag == "A"]
    env = dict(text.partition("=")[::2] for tag, text in records if tag == "E")
    if line:
        announced, wish = hooking.arrived(core, live, " ".join(argv), env) or (None, None)
    else:
        hint = env.get("AGENT_RESOURCE_HINT")
        intent = parse_run(options, argv, hint if core.settings.gpu.enabled else without_gpu(hint))
        announced, wish = hooking.adopted(live, intent, " ".join(argv))
    if wish is not None and wish.traceparent is None:
        wish = replace(wish, traceparent=parent(env.get("TRACEPARENT")))
    return announced, wish
