"""Rows to files: a file a day, over a full disk and damage, and the end of old files.

Only the store's thread works with it, but for `waiting` and `lost`.
"""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcg.telemetry import dayfile, shelf
from agentcg.telemetry.dayfile import Chunk, DayFile, OtherVersionError, Row
from agentcg.telemetry.quota import Quota

log = logging.getLogger(__name__)

RETRY = 5.0
TIDY = 60.0
# Rows (a chunk is up to 2 KiB) that wait for a disk which is full.
WAITING = 4096
# Time of day put by more than that is not believed when it says what is old.
JUMP = 3600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """Where the files are, how long they are kept, how large they get in all; and this boot."""

    folder: Path
    days: int
    size: int
    boot: str


class Writer:
    """Writes rows in batches.

    `now` is the time of day, `clock` seconds since boot; `tell` is called, in the thread that
    writes, with what an operator has to know.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        """Nothing is opened before there is something to write."""
        self.rules = rules
        self._now, self.clock, self.tell = now, clock, tell
        self._ahead = now() - clock()
        self._quota = Quota(rules.size, now, tell)
        self._sound: Path | None = None
        self._lock = threading.Lock()
        self._rows: deque[Row] = deque()
        self._file: DayFile | None = None
        self._day = ""
        self._trouble = False
        self._again = 0.0
        self._tidied = clock()
        self._jumped = False
        self.lost = 0

    @property
    def waits(self) -> bool:
        """Whether there are rows to write."""
        return bool(self._rows)

    def waiting(self) -> Sequence[Row]:
        """Rows that are in no file yet."""
        with self._lock:
            return list(self._rows)

    def add(self, row: Row) -> None:
        """Have a row written with the next batch; the oldest goes where too many wait."""
        if not self._quota.admits(row):
            self._lose([row])
            return
        with self._lock:
            self._rows.append(row)
            if len(self._rows) > WAITING:
                self._lose([self._rows.popleft()])

    def _lose(self, rows: Iterable[Row]) -> None:
        self.lost += sum(row.samples for row in rows if isinstance(row, Chunk))

    def write(self) -> None:
        """Write what waits, in one transaction; what goes wrong is told once and tried again."""
        if not self._rows or self.clock() < self._again:
            return
        rows = list(self._rows)
        try:
            self._lose(self._current().write(rows))
        except sqlite3.Error as e:
            self._failed(e)
            return
        except OSError as e:
            self._in_trouble(str(e))
            return
        with self._lock:
            for _ in rows:
                self._rows.popleft()
        if self._trouble:
            self._trouble = False
            self.tell(f"traces are recorded again; {self.lost} samples are lost in all")

    def _failed(self, error: sqlite3.Error) -> None:
        file, self._file = self._file, None
        if file is None or not dayfile.is_damage(error):
            if file is not None:
                file.close()
            self._in_trouble(str(error))
            return
        file.close()
        self._put_aside(file.path, str(error))

    def _in_trouble(self, why: str) -> None:
        self._again = self.clock() + RETRY
        if not self._trouble:
            self._trouble = True
            self.tell(
                f"{self.rules.folder}: traces cannot be written ({why}): free the disk; the "
                f"daemon goes on, and so does recording when it can"
            )

    def _current(self) -> DayFile:
        """The file of today, which may be another one than a moment ago, or was deleted."""
        day = shelf.day_of(self._now())
        if self._file is not None and self._day == day and not self._file.gone:
            return self._file
        if self._file is not None:
            self._file.close()
            self._file = None
        self.rules.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = shelf.kept(self.rules.folder)
        path = shelf.current(files, self.rules.folder, day, size=self.rules.size)
        self._file, self._day = self._opened(path), day
        return self._file

    def _opened(self, path: Path) -> DayFile:
        try:
            # Tried again and again on a full disk: damage is looked for once.
            file = DayFile(path, check=path != self._sound)
        except OtherVersionError:
            log.warning("%s: is of another release; it stays as it is", path)
        except sqlite3.Error as e:
            if not dayfile.is_damage(e):
                raise
            self._put_aside(path, str(e))
        else:
            self._sound = path
            return file
        return DayFile(shelf.after(path))

    def _put_aside(self, path: Path, why: str) -> None:
        aside = shelf.put_aside(path)
        self.tell(f"{path}: is corrupt ({why}), kept as {aside.name}; a new one is begun")

    def examine(self, path: Path) -> None:
        """Look at a file that a query could not read; put it aside if it is damaged."""
        if not path.exists():
            return
        mine = self._file is not None and self._file.path == path
        if mine and self._file is not None:
            self._file.close()
            self._file = None
        try:
            DayFile(path).close()
        except OtherVersionError:
            return
        except sqlite3.Error as e:
            if dayfile.is_damage(e):
                self._put_aside(path, str(e))

    def tidy(self) -> None:
        """Delete what is too old or too much, and begin a new part where this one is large."""
        if self.clock() < self._tidied + TIDY:
            return
        self._tidied = self.clock()
        files = shelf.kept(self.rules.folder)
        mine = None if self._file is None else self._file.path
        now = self._now() if self._believed() else None
        rules = self.rules
        for one in shelf.doomed(files, now, days=rules.days, size=rules.size, keep=mine):
            for part in shelf.parts_of(one.path):
                part.unlink(missing_ok=True)
        large = [f for f in files if f.path == mine and f.size > rules.size // shelf.PARTS]
        if large and self._file is not None:
            self._file.close()
            self._file = None

    def _believed(self) -> bool:
        """Whether time of day went on as the clock did: a jump ahead must not delete everything."""
        steady = abs(self._now() - self.clock() - self._ahead) < JUMP
        if not steady and not self._jumped:
            self._jumped = True
            self.tell(
                "the time of day was put by more than an hour: until the daemon is started again "
                "no traces are deleted for their age"
            )
        return steady

    def close(self) -> None:
        """Close the file; what still waits is lost with the process."""
        if self._file is not None:
            self._file.close()
            self._file = None
