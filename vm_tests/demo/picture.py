"""Draws what a demo showed, from its recording: `python -m vm_tests.demo.picture FILE FOLDER`.

Two SVGs: the live table when the pool was fullest and when a call had just been killed, with what
was told above it, and the result.
The recording is made by `python -m vm_tests demo --record FILE`.
"""

import argparse
import io
import sys
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


def main() -> int:
    """Read the recording and write both pictures."""
    parser = argparse.ArgumentParser(prog="python -m vm_tests.demo.picture", description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    messages = [state.decode(line) for line in args.recording.read_bytes().splitlines()]
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
    draw(live, args.folder / "demo-live.svg", "make demo")
    draw(result, args.folder / "demo-result.svg", "make demo")
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
