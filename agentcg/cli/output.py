"""Tables for people, JSON and CSV for programs, on stdout; notes about them on stderr."""

import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcg.cli.render import escape

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree

# Where nobody looks at it, no line is cut.
_PIPE_WIDTH = 1000


class Format(StrEnum):
    """How a command prints."""

    TABLE = "table"
    JSON = "json"


class Sheet(StrEnum):
    """How a command prints that programs like to have in columns."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[
    Format, typer.Option("-o", "--output", help="A table for people, or JSON for programs.")
]


SheetOption = Annotated[Sheet, typer.Option("-o", "--output", help="A table, JSON or CSV.")]


def console() -> "Console":
    """A console for stdout; rich itself honours NO_COLOR."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PIPE_WIDTH if wide else None, highlight=False, markup=False, emoji=False)


def json(value: object) -> None:
    """Print records as JSON; control characters and all beyond ASCII are escaped in it."""
    import json as jsonlib

    from pydantic_core import to_jsonable_python

    text = jsonlib.dumps(to_jsonable_python(value), indent=2)
    # The one control character that JSON lets through; it can only stand inside a string.
    typer.echo(text.replace("\x7f", "\\u007f"))


def json_line(value: object) -> None:
    """Print one record as a line of JSON: a stream has no end to close a list at."""
    import json as jsonlib

    from pydantic_core import to_jsonable_python

    typer.echo(jsonlib.dumps(to_jsonable_python(value)).replace("\x7f", "\\u007f"))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[int] = (),
    wrap: bool = False,
) -> None:
    """Print a table; on a narrow terminal its last column is cut, or with `wrap` broken."""
    show(grid(columns, rows, right=right, wrap=wrap))


def grid(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[int] = (),
    wrap: bool = False,
) -> "Table":
    """The same table, not printed yet."""
    from rich.table import Table
    from rich.text import Text

    # Text objects: brackets in a command are not markup.
    texts = [[Text(escape(cell)) for cell in row] for row in rows]
    widths = [
        max([len(column), *(row[number].cell_len for row in texts)])
        for number, column in enumerate(columns)
    ]
    out = console()
    last = len(columns) - 1
    # Left to itself, rich takes from every column.
    room = max(len(columns[last]), out.width - sum(widths[:last]) - last)
    aligned = set(right)
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(
            column,
            justify="right" if number in aligned else "left",
            no_wrap=number < last or not wrap,
            max_width=room if number == last else None,
            overflow="fold" if number == last and wrap else "ellipsis",
        )
    for row in texts:
        made.add_row(*row)
    return made


def csv(columns: Sequence[str], rows: Iterable[Sequence[object]], *, head: bool = True) -> None:
    """Print rows as CSV: what is not known is empty, text is escaped as on a terminal."""
    import csv as csvlib

    out = csvlib.writer(sys.stdout, lineterminator="\n")
    if head:
        out.writerow(columns)
    for row in rows:
        out.writerow([cell(value) for value in row])
    sys.stdout.flush()  # who reads a stream of them waits for these


def cell(value: object) -> object:
    """A value for CSV: text is escaped as on a terminal, and no formula."""
    if not isinstance(value, str):
        return value
    shown = escape(value)
    # A spreadsheet would take it for a formula, which can run programs.
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def line(text: str) -> None:
    """Print one line of plain text, escaped."""
    typer.echo(escape(text))


def note(text: str) -> None:
    """Say something about the output, on stderr, where it is in nobody's way."""
    typer.echo(f"agentcg: {escape(text)}", err=True)


def branch(tree: "Tree", text: str) -> "Tree":
    """Add a line of plain text below a tree, escaped."""
    from rich.text import Text

    return tree.add(Text(escape(text)))


def show(what: Any) -> None:  # noqa: ANN401 - anything that rich can print
    """Print one of rich's own objects."""
    console().print(what)
