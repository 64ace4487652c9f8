"""What any harness may tell before and after a tool call, in one vocabulary, and safe readers.

The JSON comes from a session: every field may be missing, of another type, or of any length.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

COMMAND_MAX = 4096  # what acg run sends, and all that rules, hints and looks read
_NAME_MAX = 128
_KEY = re.compile(r"[!-~]{1,128}")


class Moment(StrEnum):
    """When a hook runs."""

    BEFORE = "before"
    AFTER = "after"
    SESSION_START = "session-start"
    SESSION_END = "session-end"
    PROMPT = "prompt"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a harness.

    `event` is its own name for it, `session` its id for a conversation. `command` is set for tools
    that run one in a shell. `key` is the harness's id of the call; `digest` stands in where it has
    none. `background`: the harness does not wait for the command. `interrupted`: the person
    stopped it.
    """

    moment: Moment
    event: str
    session: str = ""
    tool: str = ""
    command: str | None = None
    key: str | None = None
    digest: str = ""
    background: bool = False
    interrupted: bool = False


Doc = Mapping[str, Any]


def inner(doc: Doc, name: str) -> Doc:
    """An object in the object; an empty one where there is none."""
    value = doc.get(name)
    return value if isinstance(value, dict) else {}


def text(doc: Doc, name: str, most: int = _NAME_MAX) -> str:
    """A string of at most `most` characters that can be written anywhere; else ""."""
    value = doc.get(name)
    if not isinstance(value, str):
        return ""
    # A lone surrogate, which JSON can spell, is no text.
    return value[:most].encode("utf-8", "backslashreplace").decode("utf-8")[:most]


def flag(doc: Doc, name: str) -> bool:
    """Whether it is there and true."""
    return doc.get(name) is True


def key(doc: Doc, name: str) -> str | None:
    """An id that can be a call's key; None where it is none."""
    value = doc.get(name)
    return value if isinstance(value, str) and _KEY.fullmatch(value) else None


def command(doc: Doc, name: str = "command") -> str | None:
    """A command line: a string, or words of which the last is what the shell gets."""
    value = doc.get(name)
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        doc = {name: value[-1] if value[1:2] in (["-c"], ["-lc"]) else " ".join(value)}
    return text(doc, name, COMMAND_MAX) or None


def digest(doc: Doc, *names: str) -> str:
    """What tells one call from another in a harness that does not number them."""
    picked = json.dumps([doc.get(name) for name in names], sort_keys=True)
    return hashlib.sha256(picked.encode()).hexdigest()[:32]
