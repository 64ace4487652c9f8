"""The calls that lived at some time, whenever they were declared. Blocks; in any thread.

The journal's own connection belongs to the event loop, which must not wait for thousands of
records; this one only reads.
"""

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agentcg.errors import UnavailableError
from agentcg.model.call import Call

log = logging.getLogger(__name__)

_CALL = TypeAdapter(Call)
_ALIVE = (
    "SELECT record FROM call WHERE declared_at <= ? AND "
    "(open = 1 OR json_extract(CAST(record AS TEXT), '$.closed_at') >= ?) "
    "ORDER BY declared_at DESC LIMIT ?"
)


def alive(journal: Path, since: float, until: float, most: int) -> Sequence[Call]:
    """Calls that were declared before `until` and not closed before `since`, newest first.

    Raises:
        UnavailableError: the journal cannot be read.
    """
    try:
        db = sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            rows = db.execute(_ALIVE, (until, since, most)).fetchall()
        finally:
            db.close()
    except sqlite3.Error as e:
        raise UnavailableError(
            f"{journal}: reading failed ({e}); look at the disk, or move the file away"
        ) from e
    found = []
    for (record,) in rows:
        try:
            found.append(_CALL.validate_json(record))
        except ValidationError as e:
            log.warning("%s: a record is left out: %s", journal, e)
    return found
