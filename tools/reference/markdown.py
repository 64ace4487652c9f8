"""Pieces of a Markdown page."""

import re
from collections.abc import Iterable, Sequence

_HEADER = "<!-- generated: make reference -->\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks in a cell become blanks."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = ([re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def code(text: str) -> str:
    """Lines to be shown as they are."""
    return "\n".join(f"    {line}".rstrip() for line in text.strip().splitlines())


def page(parts: Iterable[str]) -> str:
    """A page of paragraphs that says where it comes from."""
    return _HEADER + "\n" + "\n\n".join(parts) + "\n"
