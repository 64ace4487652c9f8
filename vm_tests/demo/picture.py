"""Draws what a terminal showed, as SVG; of a demo's recording two pictures.

They are the live table when the pool was fullest and when a call had just been killed, with what
was told above it, and the result.
"""

import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vm_tests.demo import closing, show, state

_COLUMNS = 100
# rich's own frame asks a foreign server for a font. Every text carries its length, so that any
# monospace font fits.
_FRAME = """\
<svg viewBox="0 0 {width} {height}" xml:space="preserve" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px "DejaVu Sans Mono", monospace; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def replay(recording: Path, folder: Path) -> None:
    """Draw the demo that was recorded so."""
    messages = [state.decode(line) for line in recording.read_bytes().splitlines()]
    live, result = console(_COLUMNS), console(_COLUMNS)
    readings = [message for message in messages if isinstance(message, state.Now)]
    live.print(show.table(max(readings, key=lambda now: now.pool or 0), _COLUMNS), "")
    killed = next(m for m in messages if isinstance(m, state.Told) and m.event == "call.oom")
    for message in messages[messages.index(killed) :]:
        if isinstance(message, state.Now):
            live.print(show.table(message, _COLUMNS))
            break
        if isinstance(message, state.Told) and (text := show.notable(message, everything=False)):
            live.print(Text(text))
    closing.report(result, next(m for m in messages if isinstance(m, state.Result)))
    draw(live, folder / "demo-live.svg", "make demo")
    draw(result, folder / "demo-result.svg", "make demo")


def console(columns: int) -> Console:
    """A terminal, so that colours are kept; what it prints goes nowhere but into its record."""
    return Console(
        width=columns,
        record=True,
        force_terminal=True,
        color_system="truecolor",
        file=io.StringIO(),
    )


def draw(shown: Console, path: Path, title: str) -> None:
    """Write what was printed."""
    svg = shown.export_svg(title=title, code_format=_FRAME, unique_id=path.stem)
    path.write_text("".join(f"{line.rstrip()}\n" for line in svg.splitlines()), encoding="utf-8")
