"""The intent of a call that a harness's hook announced.

A hint in the command itself wins over one in the environment, and that over the configuration's
rule for such commands. What is none of these is decided as for any call.
"""

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

from agentcg.intent.options import hinted, made
from agentcg.model.intent import Intent
from agentcg.model.rule import CommandRule

_SEEN = 4096
# Assignments before the command, the hint among them. Possessive: the text is hostile.
_HINT = re.compile(
    r"\s*+(?:export\s++)?(?:[A-Za-z_][A-Za-z0-9_]*+=[^\s;&|'\"]*+\s++){0,16}"
    r"AGENT_RESOURCE_HINT=(?:\"([^\"$`\\]*+)\"|'([^']*+)'|([^\s;&|'\"$`]*+)(?=[\s;&|]|\Z))"
)


def inline_hint(command: str) -> str | None:
    """The AGENT_RESOURCE_HINT that a command line begins with."""
    found = _HINT.match(command[:_SEEN])
    return None if found is None else next((g for g in found.groups() if g is not None), None)


def first_rule(rules: Sequence[CommandRule], command: str) -> CommandRule | None:
    """The first rule whose pattern the command matches."""
    seen = command[:_SEEN]
    return next((rule for rule in rules if fnmatch.fnmatchcase(seen, rule.command)), None)


def hooked(
    command: str, tool: str, key: str | None, rule: CommandRule | None, hints: Sequence[str | None]
) -> Intent:
    """Make the intent; a later hint wins over an earlier one.

    Raises:
        BadValueError: a hint does not parse; the message names it.
    """
    body: dict[str, Any] = {"on_end": "keep"}
    if rule is not None:
        body |= rule.model_dump(exclude_unset=True, by_alias=True, exclude={"command"})
    body |= {"command": command, "tool": tool or "shell", "call_id": key}
    said_by: dict[tuple[str, ...], str] = {}
    for hint in hints:
        said_by |= hinted(body, hint)
    return made(body, said_by)
