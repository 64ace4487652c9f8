"""Bytes of a terminal → names of keys."""

import codecs
import re

_NAMES = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[C": "right",
    b"\x1bOC": "right",
    b"\x1b[D": "left",
    b"\x1bOD": "left",
    b"\x1b[1;2C": "shift right",
    b"\x1b[1;2D": "shift left",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\x1b[4~": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\t": "tab",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x03": "interrupt",
    b"\x0c": "redraw",
    b"\x15": "clear",
}
# CSI and SS3 sequences, known or not: what is not known must not be taken for letters.
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])")
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?")
_LONGEST = 32


class Decoder:
    """Takes bytes as they come, which may be half a key; `flush` when no more came for a moment."""

    def __init__(self) -> None:
        self._rest = b""
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def waits(self) -> bool:
        """Whether what came so far may be the beginning of a key."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete."""
        keys: list[str] = []
        left = self._rest + data
        self._rest = b""
        while left:
            if left[0] != 0x1B:
                keys += self._plain(left[:1])
                left = left[1:]
            elif found := _SEQUENCE.match(left):
                keys += [_NAMES[found[0]]] if found[0] in _NAMES else []
                left = left[found.end() :]
            elif len(left) < _LONGEST and _BEGUN.fullmatch(left):
                self._rest, left = left, b""
            else:
                keys.append("escape")
                left = left[1:]
        return keys

    def flush(self) -> list[str]:
        """What was begun and never came: the Escape key itself."""
        begun, self._rest = self._rest, b""
        return ["escape"] if begun else []

    def _plain(self, byte: bytes) -> list[str]:
        if byte in _NAMES:
            return [_NAMES[byte]]
        return [char for char in self._text.decode(byte) if char.isprintable()]
