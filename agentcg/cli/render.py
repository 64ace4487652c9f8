"""How text and quantities are shown. Text from a session never reaches the terminal unescaped."""

import unicodedata

from agentcg import units

NONE = "-"
# Cc, Cf (bidi and zero-width characters are among them), Cs, Co, Cn; separators of lines and
# paragraphs.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escape(text: str) -> str:
    r"""Make every character visible that could move the cursor or reorder what is read: "\x1b"."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _visible(char) if unicodedata.category(char) in _HIDDEN else char for char in text
    )


def size(value: float | None) -> str:
    """Bytes, or a dash."""
    return NONE if value is None else units.format_bytes(round(value))


def span(value: float | None) -> str:
    """Seconds, or a dash."""
    return NONE if value is None else units.format_duration(value)


def _visible(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
