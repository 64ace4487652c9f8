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
# As `Call.lifetime`. A record that is no JSON has no end, and is in no answer.
_ALIVE = """
WITH life AS MATERIALIZED (
    SELECT rowid AS number, declared_at, CASE
        WHEN open THEN 1e12
        WHEN json_valid(CAST(record AS TEXT))
            THEN json_extract(CAST(record AS TEXT), '$.closed_at')
        END AS closed_at
    FROM call)
SELECT record FROM life JOIN call ON call.rowid = life.number
WHERE min(life.declared_at, closed_at) <= ? AND max(life.declared_at, closed_at) >= ?
ORDER BY min(life.declared_at, closed_at) DESC LIMIT ?
"""


def alive(journal: Path, since: float, until: float, most: int) -> Sequence[Call]:
    """Calls whose lifetime has some of that time in it, newest first.

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
