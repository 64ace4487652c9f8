"""Times as a user writes them."""

import datetime
import math
import re

from agentcg import units
from agentcg.errors import BadValueError

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
TODAY = "today"
# Before the id of a session that reads as a day; no id has a colon.
SESSION = "session:"


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


def day(text: str) -> tuple[str, float, float] | None:
    """A day's name, begin and end on the local clock; None where none is meant.

    Raises:
        BadValueError: there is no such day.
    """
    if text == TODAY:
        date = datetime.datetime.now().astimezone().date()
    elif _DAY.fullmatch(text):
        try:
            date = datetime.date.fromisoformat(text)
        except ValueError as e:
            raise BadValueError(f"{text}: there is no such day; write it as 2026-11-22") from e
    else:
        return None
    try:
        # A day may have 23 or 25 hours.
        since, until = (_midnight(date + datetime.timedelta(days=n)) for n in (0, 1))
    except (OverflowError, ValueError, OSError) as e:
        raise BadValueError(f"{text}: is beyond the calendar; name a day since 1970") from e
    if since < 0:
        raise BadValueError(f"{text}: nothing was recorded before 1970; name a later day")
    # The next day has its midnight.
    return date.isoformat(), since, math.nextafter(until, 0.0)


def _midnight(date: datetime.date) -> float:
    return datetime.datetime.combine(date, datetime.time()).astimezone().timestamp()
