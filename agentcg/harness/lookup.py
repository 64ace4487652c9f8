"""Which announced call a command line belongs to, that a shell is about to run.

The wrapper of a harness's shell gets no call id, only the line, with the command inside it:
`source SNAPSHOT && eval 'COMMAND' < /dev/null && pwd -P >| FILE`. Calls with the same command are
interchangeable. A line without `eval` (a hook, a status
line, an MCP server, all wrapped too) is no call.
"""

import re
import shlex
from collections.abc import Iterable

# Quoting differs by harness version, and some redirect the first command of a pipe.
_LOOSE = re.compile(r"[\s'\"\\]+")
_NO_INPUT = "</dev/null"
_HEAD = 1024  # the client cuts long lines
_SEEN = 4096
_WORDS = 128


def looks(command: str) -> str:
    """What a command is compared by; kept with it, as a session may announce many long ones."""
    return _LOOSE.sub("", command[:_SEEN]).replace(_NO_INPUT, "")


def by_line(line: str, announced: Iterable[tuple[str, str]]) -> str | None:
    """The key of the first announced (key, looks) that `line` runs; None: none of them."""
    run, cut = _evaluated(line)
    if run is None:
        return None
    fits = [
        (len(wanted[:_HEAD]), key)
        for key, wanted in announced
        if wanted and (run == wanted or (cut and run.startswith(wanted[:_HEAD])))
    ]
    # Of a line that was cut, a short command may be the beginning of a long one.
    return max(fits, key=lambda fit: fit[0], default=(0, None))[1]


def by_words(words: str, announced: Iterable[tuple[str, str]]) -> str | None:
    """The key of the first announced (key, looks) that itself has `acg run … -- words` in it."""
    # Short, as a search for long words in long commands takes the product of their lengths.
    wanted = "--" + looks(words)[:_WORDS]
    for key, command in announced:
        if len(wanted) > len("--") and "acgrun" in command and wanted in command:
            return key
    return None


def _evaluated(line: str) -> tuple[str | None, bool]:
    """What is given to `eval`, squeezed, and whether the line may have been cut behind it."""
    try:
        words = shlex.split(line[:_SEEN])
    except ValueError:  # a quote without its end
        _, found, rest = line[:_SEEN].partition("eval ")
        return (looks(rest), True) if found else (None, True)
    if "eval" not in words[:-1]:
        return None, False
    return looks(words[words.index("eval") + 1]), False
