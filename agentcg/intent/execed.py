"""What a container runtime is about to execute, and the intent of that.

`acg runc` sends the runtime's arguments and the OCI process (JSON, from the file that --process
names) unread. Both come from the engine, but the command and its environment are a session's words.
"""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentcg.intent.hooked import first_rule, hooked, inline_hint
from agentcg.intent.options import command_line
from agentcg.model.intent import Intent
from agentcg.model.rule import CommandRule

# Of the keys of such calls; the rest is the engine's id of the exec.
KEY = "exec-"
_HINT = "AGENT_RESOURCE_HINT="
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_SCRIPT = re.compile(r"-[a-z]*c[a-z]*")
# What a line runs first. Possessive: the text is hostile.
_FIRST = re.compile(
    r"\s*+(?:(?:exec|env|nohup|cd\s++\S++\s*+&&|[A-Za-z_][A-Za-z0-9_]*+=\S*+)\s++){0,16}"
    r"(\S++)\s*+(\S*+)"
)
_SEVERAL = re.compile(r"[;&|\n`]|\$\(|[<>]\(")
_OWN = frozenset({"run", "shell", "hook"})


@dataclass(frozen=True, slots=True)
class Exec:
    """One `exec`: whose, under which id of the engine, and which command."""

    container: str
    id: str
    command: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def line(self) -> str:
        """The command line; of a shell that is given one, that one."""
        return self._script or command_line(self.command)

    def is_agent(self, harnesses: Sequence[str]) -> bool:
        """Whether it starts a harness and no more: its tools are the calls, it is none itself."""
        return self._first[0] in harnesses and self._alone

    @property
    def asks_itself(self) -> bool:
        """Whether it is a client of ours and no more, which gets a call by its own words."""
        name, word = self._first
        return self._alone and (name == "acg-shell" or (name == "acg" and word in _OWN))

    @property
    def _script(self) -> str | None:
        if not self.command or _name(self.command[0]) not in _SHELLS:
            return None
        words = iter(self.command[1:])
        found = next((word for word in words if not word.startswith("-") or _is_c(word)), "")
        return next(words, None) if _is_c(found) else None

    @property
    def _alone(self) -> bool:
        """Whether nothing runs but what its line runs first."""
        if self._script is None:
            return True
        found = _FIRST.match(self._script[:4096])
        return found is not None and not _SEVERAL.search(self._script, found.start(1))

    @property
    def _first(self) -> tuple[str, str]:
        if self._script is None:
            name, word, *_ = (*self.command, "", "")
            return _name(name), word
        found = _FIRST.match(self._script[:4096])
        return ("", "") if found is None else (_name(found[1]), found[2])

    def intent(self, rules: Sequence[CommandRule]) -> Intent:
        """The intent: a hint in the line wins over the environment's, and that over the rules.

        Raises:
            BadValueError: a hint does not parse.
        """
        return self._intent(rules, self.hint, inline_hint(self.line))

    def plain_intent(self, rules: Sequence[CommandRule]) -> Intent:
        """The intent without the hints."""
        return self._intent(rules)

    def _intent(self, rules: Sequence[CommandRule], *hints: str | None) -> Intent:
        rule = first_rule(rules, self.line)
        return hooked(command_line([self.line]), "exec", KEY + self.id, rule, hints)


def parse(words: Sequence[str], process: str | None) -> Exec | None:
    """Read a runtime's arguments, and the process; None: no exec of an engine.

    A process that was too long to be sent leaves the command unknown.
    """
    if "exec" not in words or any(word.startswith("--cgroup") for word in words):
        return None
    own = words[words.index("exec") + 1 :]
    name = _value(own, "--pid-file").rpartition("/")[2].removesuffix(".pid")
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,100}", name):
        return None
    if process is None:
        return Exec(own[-1], name)
    try:
        raw: Any = json.loads(process)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    hints = (e for e in _texts(raw.get("env")) if e.startswith(_HINT))
    hint = next((e.removeprefix(_HINT) for e in hints), None)
    return Exec(own[-1], name, tuple(_texts(raw.get("args"))), hint)


def _value(words: Sequence[str], option: str) -> str:
    for word, after in itertools.pairwise((*words, "")):
        if word == option:
            return after
        if word.startswith(option + "="):
            return word.removeprefix(option + "=")
    return ""


def _texts(raw: object) -> list[str]:
    return [text for text in raw if isinstance(text, str)] if isinstance(raw, list) else []


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_c(word: str) -> bool:
    return bool(_SCRIPT.fullmatch(word))
