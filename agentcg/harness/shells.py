"""What an argument vector starts: a shell with a line, one that asks for commands, or another."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish"}
# Options with a value of their own; others are one word.
_WITH_VALUE = {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}
# What only starts something else; of a terminal multiplexer that goes on for hours.
_THROUGH = {
    *("env", "nice", "ionice", "nohup", "setsid", "stdbuf", "sudo", "su", "runuser", "setpriv"),
    *("chroot", "unshare", "tini", "dumb-init", "docker-init", "catatonit", "tmux", "screen"),
    *("script", "abduco", "dtach"),
}
_OWN = {"acg", "acg-shell", "agentcg"}
_ASKS = re.compile(r"(?<![\w.-])(?:acg|agentcg)(?:-shell)?(?:['\"]?\s|$)")


class Form(StrEnum):
    """What kind of program was started."""

    LINE = "line"  # a shell that runs one command line
    SCRIPT = "script"  # a shell that runs a file
    PROMPT = "prompt"  # a shell that reads commands
    THROUGH = "through"  # it only starts something else
    OWN = "own"  # a client of ours
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Started:
    """The form, and of a shell with a command line the line."""

    form: Form
    line: str = ""


def read(words: Sequence[str]) -> Started:
    """Find out from an argument vector; a process may have put anything there."""
    if not words:
        return Started(Form.OTHER)
    name = _name(words[0])
    rest = words[1:]
    if name == "busybox" and rest:
        name, rest = _name(rest[0]), rest[1:]
    if name in _SHELLS:
        return _shell(deque(rest))
    # A multiplexer's server writes its own: "tmux: server".
    if name in _THROUGH or name.partition(":")[0] in _THROUGH:
        return Started(Form.THROUGH)
    return Started(Form.OWN if name in _OWN else Form.OTHER)


def asks_us(line: str) -> bool:
    """Whether a command line runs a client of ours, which has its command placed itself."""
    return _ASKS.search(line) is not None


def _name(word: str) -> str:
    # A login shell's begins with a dash.
    return word.rpartition("/")[2].lstrip("-")


def _shell(words: deque[str]) -> Started:
    line = False
    while words and words[0][:1] in ("-", "+"):
        word = words.popleft()
        if word in ("-", "--"):
            break
        if word in _WITH_VALUE and words:
            words.popleft()
        elif not word.startswith("--"):
            if "s" in word:
                return Started(Form.PROMPT)
            line = line or ("c" in word and word.startswith("-"))
    if line:
        return Started(Form.LINE, words[0]) if words else Started(Form.OTHER)
    return Started(Form.SCRIPT if words else Form.PROMPT)
