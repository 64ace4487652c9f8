"""Elements of HTML and SVG. Text becomes markup by `el` alone, which escapes it."""

import html

from agentcg.cli.render import escape

_VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def el(tag: str, /, *content: str, **attrs: object) -> Markup:
    """An element; an attribute that is a word of Python has an underscore behind it.

    Foreign text may stand in content and in values: its control characters are made visible.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attrs.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{said}>")
    return Markup(f"<{tag}{said}>{join(*content)}</{tag}>")


def join(*parts: str) -> Markup:
    """Several one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else _text(one) for one in parts))


def _text(text: str) -> str:
    return html.escape(escape(text))


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else _text(str(value))


def number(value: float) -> str:
    """A coordinate: tenths are enough."""
    return f"{value:.1f}".removesuffix(".0")
