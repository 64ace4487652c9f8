"""Who used how much memory at some moments: readings of all calls and sessions. Blocks."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from agentcg.model.sample import Sample
from agentcg.telemetry import dayfile, recall, shelf
from agentcg.telemetry.dayfile import Chunk, OtherVersionError, Span
from agentcg.telemetry.store import Key, Store

log = logging.getLogger(__name__)

# Whoever lives is read more often than that, so an older reading is of somebody who is gone.
REACH = 10.0
_DAY = 86400.0

Found = dict[Key, tuple[float, int]]  # when it was read, and bytes


def at(store: Store, moments: Sequence[float]) -> tuple[list[dict[Key, int]], bool]:
    """Bytes by session and call at each moment; and whether there was too much to go through."""
    store.settle()
    found: list[Found] = [{} for _ in moments]
    chunks, samples = store.everything()
    left = recall.SAMPLES
    for (session, call), held in samples.items():
        _take(found, moments, (session, call), held)
    for chunk in recall.paced(_all(store, chunks, moments)):
        left -= chunk.samples
        if left < 0:
            break
        _take(found, moments, (chunk.session, chunk.call), recall.decoded(chunk))
    return [{key: memory for key, (_, memory) in one.items()} for one in found], left < 0


def _all(store: Store, waiting: Iterable[Chunk], moments: Sequence[float]) -> Iterator[Chunk]:
    spans = [Span(moment - REACH, moment) for moment in moments]
    yield from (
        chunk
        for chunk in waiting
        if any(chunk.at <= one.until and chunk.at + chunk.span >= one.since for one in spans)
    )
    days = (shelf.day_of(min(moments) - _DAY), shelf.day_of(max(moments) + _DAY))
    for file in reversed(shelf.kept(store.rules.folder)):
        if not file.whole or not days[0] <= file.day <= days[1]:
            continue
        try:
            with dayfile.reading(file.path) as db:
                yield from dayfile.chunks_about(db, spans)
        except OtherVersionError:
            continue
        except sqlite3.Error as e:
            if dayfile.is_damage(e):
                store.suspect(file.path)
            log.warning("%s: left out of an answer: %s", file.path, e)


def _take(found: list[Found], moments: Sequence[float], key: Key, samples: list[Sample]) -> None:
    """Of each moment the last reading before it."""
    for one, moment in zip(found, moments, strict=True):
        for sample in samples:
            memory = sample.usage.memory
            if memory is None or not moment - REACH <= sample.at <= moment:
                continue
            if key not in one or one[key][0] <= sample.at:
                one[key] = sample.at, memory
