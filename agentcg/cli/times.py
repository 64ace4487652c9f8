"""Times as a user writes them."""

import datetime

from agentcg import units
from agentcg.errors import BadValueError


def moment(text: str, now: float) -> float:
    """A time that is so long ago, or that is named; Unix seconds.

    Raises:
        BadValueError: it is neither.
    """
    try:
        return max(0.0, now - units.parse_duration(text))
    except BadValueError:
        pass
    try:
        return max(0.0, datetime.datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError, OSError):
        raise BadValueError(
            f"{text!r}: neither a duration such as 10m nor a time such as 2026-11-22T09:30"
        ) from None


def told(at: float) -> str:
    """A time as it may be given again."""
    return datetime.datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
