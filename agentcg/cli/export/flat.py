"""An export as JSON lines, CSV or Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from pydantic_core import to_jsonable_python

from agentcg.cli.export.items import (
    COLUMNS,
    CallItem,
    EventItem,
    Item,
    SampleItem,
    SessionItem,
    row,
)
from agentcg.cli.output import cell
from agentcg.errors import UnsupportedError

_TEXT = frozenset({"session", "call"})
_WHOLE = frozenset(
    {"memory", "peak", "pids", "reclaimed", "read", "written", "max_hits", "oom_kills"}
)
# Rows of a group: what is in memory at a time.
GROUP = 10_000


def json_lines(items: Iterable[Item]) -> Iterator[str]:
    """An object a line; its `type` says what it is."""
    for item in items:
        told: dict[str, Any] = {"type": type(item).__name__.removesuffix("Item").lower()}
        match item:
            case SessionItem():
                told["session"] = item.session
            case CallItem():
                told |= {"session": item.session, "call": item.call}
                told |= {"begin": item.begin, "end": item.end, "record": item.record}
            case SampleItem():
                told |= zip(COLUMNS, row(item), strict=True)
            case EventItem():
                told["event"] = item.event
        # The one control character that JSON lets through; it can only stand inside a string.
        yield json.dumps(to_jsonable_python(told)).replace("\x7f", "\\u007f") + "\n"


def csv_lines(items: Iterable[Item]) -> Iterator[str]:
    """A row a sample; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        if isinstance(item, SampleItem):
            values = row(item)
            values[4] = int(item.sample.full)
            writer.writerow([cell(value) for value in values])
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def parquet(items: Iterable[Item], file: IO[bytes]) -> None:
    """A row a sample, in groups of 10 000.

    Raises:
        UnsupportedError: pyarrow is not installed.
    """
    arrow, writer_of = _pyarrow()
    types = [
        arrow.string()
        if name in _TEXT
        else arrow.bool_()
        if name == "full"
        else arrow.int64()
        if name in _WHOLE
        else arrow.float64()
        for name in COLUMNS
    ]
    schema = arrow.schema(list(zip(COLUMNS, types, strict=True)))
    rows: list[list[object]] = []

    def table() -> Any:  # noqa: ANN401 - of a library that may not be there
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
        arrays = [arrow.array(c, type=t) for c, t in zip(columns, types, strict=True)]
        return arrow.Table.from_arrays(arrays, schema=schema)

    with writer_of(file, schema) as writer:
        for item in items:
            if isinstance(item, SampleItem):
                rows.append(row(item))
            if len(rows) == GROUP:
                writer.write_table(table())
                rows.clear()
        writer.write_table(table())


def _pyarrow() -> Any:  # noqa: ANN401 - of a library that may not be there
    try:
        import pyarrow as arrow
        import pyarrow.parquet as arrow_parquet
    except ImportError as error:
        raise UnsupportedError(
            f"--format parquet: pyarrow is not here ({error}); install it with "
            "`pip install 'agentcg[parquet]'`, or take --format csv"
        ) from error
    return arrow, arrow_parquet.ParquetWriter
