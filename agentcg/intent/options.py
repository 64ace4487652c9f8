"""The options of `acg run`, and AGENT_RESOURCE_HINT, as an intent.

`acg` forwards its argument vector unread, so this is the only parser of it. Options win over the
hint; both are a session's wish, below its budget.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from agentcg.errors import BadValueError
from agentcg.model.intent import Intent, OnEnd
from agentcg.model.wire import CallBody

# option -> path in the body of POST /v1/sessions/{id}/calls
OPTIONS: dict[str, tuple[str, ...]] = {
    "tool": ("tool",),
    "call-id": ("call_id",),
    "guarantee": ("memory", "guarantee"),
    "memory": ("memory", "limit"),
    "class": ("cpu", "class"),
    "weight": ("cpu", "weight"),
    "cores": ("cpu", "cores"),
    "pids": ("pids",),
    "io-weight": ("io_weight",),
    "duration": ("duration",),
    "deadline": ("deadline",),
    "priority": ("priority",),
    "on-pressure": ("on_pressure",),
    "on-end": ("on_end",),
    "gpu": ("gpu", "memory"),
    "gpu-min": ("gpu", "min"),
    "gpu-time": ("gpu", "duration"),
    "gpu-wait": ("gpu", "wait"),
    "gpu-device": ("gpu", "gpu"),
    "gpu-preemptible": ("gpu", "preemptible"),
    "gpu-on-deny": ("gpu", "on_deny"),
    "program": ("gpu", "program"),
}
JOIN = "join"
HINTS: dict[str, tuple[str, ...]] = {
    "memory": ("memory", "limit"),
    "guarantee": ("memory", "guarantee"),
    "cores": ("cpu", "cores"),
    "cpu": ("cpu", "cores"),
    "pids": ("pids",),
    "duration": ("duration",),
    "deadline": ("deadline",),
    "class": ("cpu", "class"),
    "gpu": ("gpu", "memory"),
    "gpu_min": ("gpu", "min"),
    "gpu_time": ("gpu", "duration"),
    "gpu_wait": ("gpu", "wait"),
    "gpu_on_deny": ("gpu", "on_deny"),
}
_GPU_HINTS = frozenset(name for name, path in HINTS.items() if path[0] == "gpu")
_COMMAND_MAX = 32768  # of CallBody.command
_SHOWN = 80
MEMORY_WORDS = {"low": "256MiB", "medium": "1GiB", "high": None}


def parse_run(options: Sequence[str], argv: Sequence[str], hint: str | None) -> Intent:
    """Make the intent of `acg run OPTIONS -- ARGV`, ended by killing what is left.

    Raises:
        BadValueError: an option is unknown, has no value, or has a value that does not parse;
            the message names it.
    """
    body: dict[str, Any] = {"on_end": OnEnd.KILL, "command": command_line(argv)}
    said_by = hinted(body, hint)
    for name, value in _pairs(options):
        if name not in OPTIONS:
            known = " ".join(f"--{o}" for o in (*OPTIONS, JOIN))
            raise BadValueError(f"option --{name[:_SHOWN]}: not known; use one of {known}")
        _put(body, OPTIONS[name], value)
        said_by[OPTIONS[name]] = f"option --{name}"
    return made(body, said_by)


def joined(options: Sequence[str]) -> str | None:
    """The call that a process wants to be one more of, instead of a call of its own.

    Raises:
        BadValueError: with other options; a call that runs has its limits.
    """
    pairs = _pairs(options)
    if not any(name == JOIN for name, _ in pairs):
        return None
    if len(pairs) > 1:
        raise BadValueError(f"option --{JOIN}: stands alone, as the call has its limits already")
    return pairs[0][1]


def hinted(body: dict[str, Any], hint: str | None) -> dict[tuple[str, ...], str]:
    """Put what AGENT_RESOURCE_HINT says into a body; returns which words said what.

    Raises:
        BadValueError: it names what is not known, or gives no value.
    """
    said_by: dict[tuple[str, ...], str] = {}
    for name, value in _hints(hint):
        _put(body, HINTS[name], value)
        said_by[HINTS[name]] = f"AGENT_RESOURCE_HINT {name}"
    return said_by


def without_gpu(hint: str | None) -> str | None:
    """A hint for a host that leases no GPU memory: what it says of that may be of another tool."""
    parts = (hint or "").split(",")
    return ",".join(one for one in parts if one.partition(":")[0].strip() not in _GPU_HINTS)


def made(body: dict[str, Any], said_by: dict[tuple[str, ...], str]) -> Intent:
    """Check a body that was put together from words; `said_by` tells whose a bad value is.

    Raises:
        BadValueError: a value does not parse.
    """
    try:
        return CallBody.model_validate(body).intent()
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        loc = tuple(str(p) for p in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        beside = (who for path, who in said_by.items() if path[:-1] == loc[:-1])
        if first["type"] == "missing" and (who := next(beside, None)) is not None:
            raise BadValueError(
                f"{who}: means nothing without {'.'.join(loc)}; say that too"
            ) from e
        raise BadValueError(
            f"{said_by.get(loc, '.'.join(loc))} {str(first['input'])[:_SHOWN]!r}: {reason}"
        ) from e


def command_line(argv: Sequence[str]) -> str:
    """The line to remember; what it looks like is never a reason not to run it."""
    line = " ".join(argv)[:_COMMAND_MAX].encode("utf-8", "backslashreplace").decode("utf-8")
    return line[:_COMMAND_MAX]


def _pairs(options: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    rest = iter(options)
    for option in rest:
        if not option.startswith("--"):
            raise BadValueError(
                f"option {option[:_SHOWN]!r}: write --name=value or --name value, before '--'"
            )
        name, equals, value = option[2:].partition("=")
        if not equals:
            found = next(rest, None)
            if found is None:
                short = name[:_SHOWN]
                raise BadValueError(
                    f"option --{short}: has no value; write --{short}=VALUE before '--'"
                )
            value = found
        pairs.append((name, value))
    return pairs


def _hints(hint: str | None) -> list[tuple[str, str]]:
    """Split "memory:2g,cores:2"."""
    pairs: list[tuple[str, str]] = []
    for part in (hint or "").split(","):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not name:
            continue
        if not colon or name not in HINTS:
            raise BadValueError(
                f"AGENT_RESOURCE_HINT {part[:_SHOWN]!r}: write name:value with one of "
                f"{', '.join(HINTS)}"
            )
        if name == "memory" and value in MEMORY_WORDS:
            word = MEMORY_WORDS[value]
            if word is None:
                continue
            value = word
        pairs.append((name, value))
    return pairs


def _put(body: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for key in path[:-1]:
        body = body.setdefault(key, {})
    body[path[-1]] = value
