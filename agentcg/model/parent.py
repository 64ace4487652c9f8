"""TRACEPARENT: the span of the harness that a call belongs to (W3C Trace Context)."""

import re

# Version ff is forbidden, and an id of zeros alone is none.
_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


def parent(text: str | None) -> str | None:
    """What is said, if it is well-formed: what is not counts as not said, as W3C has it."""
    return text if text is not None and _PARENT.fullmatch(text) else None
