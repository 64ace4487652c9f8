"""Names of sessions and calls: what they may look like, and how one is minted.

A call id is also the name of a directory in cgroupfs, so the grammar has no dot: no id can be
taken for a knob ("memory.max") or for a parent ("..").
"""

import re
import secrets
from typing import NewType

from agentcg.errors import BadValueError

SessionId = NewType("SessionId", str)
CallId = NewType("CallId", str)
LeaseId = NewType("LeaseId", str)
ProgramId = NewType("ProgramId", str)  # the inference engine's name for an agent's run

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # no letters that read like digits


def session_id(text: str) -> SessionId:
    """Check a session id given by a caller.

    Raises:
        BadValueError: it is not 1 to 63 letters, digits, "_" or "-".
    """
    return SessionId(_checked("session id", text))


def call_id(text: str) -> CallId:
    """Check a call id given by a caller; the same grammar as a session's."""
    return CallId(_checked("call id", text))


def lease_id(text: str) -> LeaseId:
    """Check the id of a lease given by a caller; the same grammar as a session's."""
    return LeaseId(_checked("lease id", text))


def mint_session_id() -> SessionId:
    """Make a new session id, short enough to type."""
    return SessionId("s-" + _random())


def mint_call_id() -> CallId:
    """Make a new call id; 40 bits, so the caller still has to look for a collision."""
    return CallId("c-" + _random())


def _random() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


def _checked(what: str, text: str) -> str:
    if not _ID.fullmatch(text):
        raise BadValueError(
            f"{what} {text[:80]!r}: use 1 to 63 letters, digits, '_' or '-', "
            f"beginning with a letter or digit"
        )
    return text
