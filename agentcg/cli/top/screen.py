"""Where the user is, and what a key does: state and key → state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

_MOST_WORDS = 80
_MOVES = frozenset({"up", "k", "down", "j", "page up", "page down", "home", "g", "end", "G"})
_ARRANGES = frozenset({"s", "S", "r", "/"})


class View(StrEnum):
    """What fills the screen."""

    SESSIONS = "sessions"
    CALLS = "calls"  # of all sessions
    SESSION = "session"  # its calls
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column, and whether the largest comes first."""

    column: str
    down: bool = True


@dataclass(frozen=True, slots=True)
class Screen:
    """All that keys change. `cursor` is the id of a row; None is the first one, whichever it is."""

    view: View = View.SESSIONS
    name: str = ""  # the session or call that is looked into
    cursor: str | None = None
    sorts: tuple[Sort, Sort] = (Sort("MEMORY"), Sort("MEMORY"))  # of sessions, of calls
    words: str = ""
    typing: bool = False
    paused: bool = False
    help: bool = False
    scroll: int = 0  # of a page that is no table
    over: bool = False
    interrupted: bool = False
    back: "Screen | None" = None

    @property
    def sort(self) -> Sort:
        """Of the table that is shown."""
        return self.sorts[self.view is not View.SESSIONS]


def press(
    screen: Screen, key: str, *, rows: Sequence[str], columns: Sequence[str], height: int
) -> Screen:
    """What the screen is after a key; `rows` are the ids as they stand, `columns` what sorts."""
    if key == "interrupt":
        return replace(screen, over=True, interrupted=True)
    if screen.help:
        return replace(screen, help=False)
    if screen.typing:
        return _typed(screen, key)
    if key in _MOVES:
        return _moved(screen, key, rows, height)
    if key in _ARRANGES:
        return screen if screen.view is View.CALL else _arranged(screen, key, columns)
    return _went(screen, key, rows)


def _went(screen: Screen, key: str, rows: Sequence[str]) -> Screen:
    match key:
        case "enter" | "right" | "l":
            screen = _into(screen, rows)
        case "escape" | "left" | "h" | "backspace":
            screen = _out(screen, key)
        case "tab":
            screen = _other(screen)
        case "q":
            screen = replace(screen, over=True)
        case "?":
            screen = replace(screen, help=True)
        case " ":
            screen = replace(screen, paused=not screen.paused)
        case _:
            pass
    return screen


def place(screen: Screen, rows: Sequence[str]) -> int:
    """Which row the cursor is on."""
    try:
        return rows.index(screen.cursor or "")
    except ValueError:
        return 0


def _moved(screen: Screen, key: str, rows: Sequence[str], height: int) -> Screen:
    step = max(1, height - 1)
    far = 1_000_000
    by = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -step, "page down": step}
    by |= {"home": -far, "g": -far, "end": far, "G": far}
    if screen.view is View.CALL:
        most = max(0, len(rows) - height)
        return replace(screen, scroll=min(most, max(0, min(screen.scroll, most) + by[key])))
    if not rows:
        return screen
    to = min(len(rows) - 1, max(0, place(screen, rows) + by[key]))
    return replace(screen, cursor=rows[to])


def _arranged(screen: Screen, key: str, columns: Sequence[str]) -> Screen:
    if key == "/":
        return replace(screen, typing=True)
    sort = screen.sort
    if key == "r":
        return _sorted(screen, replace(sort, down=not sort.down))
    at = columns.index(sort.column) if sort.column in columns else 0
    return _sorted(screen, Sort(columns[(at + (1 if key == "s" else -1)) % len(columns)]))


def _sorted(screen: Screen, sort: Sort) -> Screen:
    sessions, calls = screen.sorts
    if screen.view is View.SESSIONS:
        return replace(screen, sorts=(sort, calls))
    return replace(screen, sorts=(sessions, sort))


def _typed(screen: Screen, key: str) -> Screen:
    match key:
        case "enter" | "up" | "down":
            return replace(screen, typing=False)
        case "escape":
            return replace(screen, typing=False, words="")
        case "backspace":
            return replace(screen, words=screen.words[:-1])
        case "clear":
            return replace(screen, words="")
        case _ if len(key) == 1:
            return replace(screen, words=(screen.words + key)[:_MOST_WORDS], cursor=None)
        case _:
            return screen


def _other(screen: Screen) -> Screen:
    """From sessions to all calls and back; from further in, out to the sessions."""
    view = View.CALLS if screen.view is View.SESSIONS else View.SESSIONS
    return replace(screen, view=view, name="", cursor=None, words="", scroll=0, back=None)


def _into(screen: Screen, rows: Sequence[str]) -> Screen:
    if screen.view is View.CALL or not rows:
        return screen
    name = rows[place(screen, rows)]
    view = View.SESSION if screen.view is View.SESSIONS else View.CALL
    here = replace(screen, cursor=name)
    return replace(screen, view=view, name=name, cursor=None, words="", scroll=0, back=here)


def _out(screen: Screen, key: str) -> Screen:
    if screen.words and key == "escape":
        return replace(screen, words="")
    if screen.back is not None:
        return replace(screen.back, sorts=screen.sorts, paused=screen.paused)
    return _other(screen) if screen.view is View.CALLS else screen
