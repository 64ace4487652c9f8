"""All dialects by name; bytes in, bytes out. Whatever is not understood is answered by nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentcg.harness import adapter, claude_code, codex, gemini, openhands
from agentcg.harness.told import Doc, Moment, Told

# Claude Code cuts at 10 000 characters.
_WORDS_MAX = 8000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one harness is read and answered; `hears` are the moments when words reach its model."""

    read: Callable[[Doc], Told]
    say: Callable[[Told, str], dict[str, Any]]
    hears: frozenset[Moment]


DIALECTS: Mapping[str, Dialect] = {
    "claude-code": Dialect(claude_code.read, claude_code.say, claude_code.HEARS),
    "codex": Dialect(codex.read, codex.say, codex.HEARS),
    "gemini": Dialect(gemini.read, gemini.say, gemini.HEARS),
    "opencode": Dialect(adapter.read, adapter.say, adapter.HEARS),
    "openhands": Dialect(openhands.read, openhands.say, openhands.HEARS),
    "swe-agent": Dialect(adapter.read, adapter.say, adapter.HEARS),
}


def understand(dialect: Dialect, body: bytes) -> Told | None:
    """Read a hook's stdin; None where it is no JSON object."""
    try:
        doc = json.loads(body)
        # In here too: numbers of any size and nesting of any depth come back when it is hashed.
        return dialect.read(doc) if isinstance(doc, dict) else None
    except (ValueError, RecursionError):
        return None


def speak(dialect: Dialect, event: Told, words: str) -> bytes:
    """The hook's stdout, byte for byte: nothing, or one JSON object with words for the model."""
    if not words or event.moment not in dialect.hears:
        return b""
    return json.dumps(dialect.say(event, words[:_WORDS_MAX])).encode()
