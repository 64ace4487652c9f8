"""The bench in two pictures, as SVG: how slow batches got, and who held the pool. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from tests.bench.kernel.peers import ROOM
from tests.bench.kernel.stats import Row

Arms = Mapping[str, Mapping[int, Row]]

_COLOURS = (
    *("#000000", "#7f7f7f", "#d62728", "#ff7f0e"),
    *("#8c564b", "#9467bd", "#1f77b4", "#2ca02c"),
)
_TENANTS = ("#d62728", "#9ecae1", "#6baed6", "#3182bd")  # the high one, then the low ones
_FONT = 'font-family="sans-serif" font-size="12"'


def latency(arms: Arms) -> str:
    """For every latency the share of batches that took longer; both axes logarithmic."""
    left, top, width, height = 70, 40, 560, 300
    every = sorted(
        us for rows in arms.values() for row in rows.values() for us in row["batches_us"]
    )
    first, last = math.log10(every[0] or 1), math.log10(every[-1])
    decades = 4  # down to 1 in 10 000

    def x(us: float) -> float:
        return left + width * (math.log10(max(us, 1)) - first) / (last - first)

    def y(share: float) -> float:
        return top - height * max(-decades, math.log10(share)) / decades

    parts = [_text(left, 20, "Share of the high tenant's 256 KiB batches that took longer")]
    for power in range(math.ceil(first), math.floor(last) + 1):
        parts.append(_line([(x(10**power), top), (x(10**power), top + height)], "#dddddd"))
        parts.append(_text(x(10**power), top + height + 16, _time(10**power), "middle"))
    for power in range(decades + 1):
        at = y(10**-power)
        parts.append(_line([(left, at), (left + width, at)], "#dddddd"))
        parts.append(_text(left - 6, at + 4, f"{100 / 10**power:g} %", "end"))
    for number, (name, rows) in enumerate(arms.items()):
        values = sorted(us for row in rows.values() for us in row["batches_us"])
        points = _thinned((x(us), y(1 - at / len(values))) for at, us in enumerate(values))
        colour = _COLOURS[number]
        parts.append(_line(points, colour, 2))
        at = top + 10 + 18 * number
        parts.append(_line([(left + width + 15, at), (left + width + 35, at)], colour, 3))
        parts.append(_text(left + width + 40, at + 4, name))
    return _svg(left + width + 170, top + height + 30, parts)


def pool(arms: Arms, seed: int) -> str:
    """One run under every arm in that pool: what each tenant held over time, and the pool's end."""
    shown = {name: rows[seed] for name, rows in arms.items() if seed in rows and name != ROOM}
    width, height, left, gap = 400, 120, 50, 50
    longest = max(row["curve"][-1][0] for row in shown.values())
    size = next(iter(shown.values()))["pool"]
    parts = [_text(left, 20, "Memory of the tenants over time (s); the dashed line is the pool")]
    names = [t["name"] for t in max(shown.values(), key=lambda r: len(r["tenants"]))["tenants"]]
    for number, name in enumerate(names):
        at = left + 430
        parts.append(_rect(at + 140 * (number % 2), 10 + 16 * (number // 2), _TENANTS[number % 4]))
        parts.append(_text(at + 14 + 140 * (number % 2), 20 + 16 * (number // 2), name))
    for number, (name, row) in enumerate(shown.items()):
        origin = (left + (number % 2) * (width + 70), 60 + (number // 2) * (height + gap))
        parts += _panel(name, row, origin, (width, height), (longest, 1.2 * size))
    return _svg(2 * (width + 70) + left, 60 + math.ceil(len(shown) / 2) * (height + gap), parts)


def _panel(
    name: str,
    row: Row,
    origin: tuple[float, float],
    extent: tuple[float, float],
    most: tuple[float, float],
) -> list[str]:
    (left, top), (width, height) = origin, extent

    def at(second: float, mib: float) -> tuple[float, float]:
        return left + width * second / most[0], top + height * (1 - mib / most[1])

    parts = [_text(left, top - 6, f"{name}{_fates(row)}")]
    floor = [0.0] * len(row["curve"])
    for number in range(len(row["tenants"])):
        ceiling = [low + point[1 + number] for low, point in zip(floor, row["curve"], strict=True)]
        times = [point[0] for point in row["curve"]]
        edge = _thinned(at(t, v) for t, v in zip(times, ceiling, strict=True))
        back = _thinned(at(t, v) for t, v in zip(times, floor, strict=True))
        parts.append(_area([*edge, *reversed(back)], _TENANTS[number % len(_TENANTS)]))
        floor = ceiling
    parts.append(_line([at(0, row["pool"]), at(most[0], row["pool"])], "#000000", 1, "5 4"))
    parts.append(_line([at(0, most[1]), at(0, 0), at(most[0], 0)], "#000000"))
    parts += [
        _text(at(0, mib)[0] - 5, at(0, mib)[1] + 4, str(mib), "end") for mib in (0, row["pool"])
    ]
    step = 10 if most[0] > 15 else 1
    for second in range(0, math.floor(most[0]) + 1, step):
        parts.append(_text(at(second, 0)[0], top + height + 14, str(second), "middle"))
    return parts


def _fates(row: Row) -> str:
    """Who did not finish, for the panel's title."""
    fates = []
    for state in ("killed", "late"):
        names = [t["name"].removeprefix("low-") for t in row["tenants"] if t["state"] == state]
        if names:
            fates.append(f"{state} {', '.join(names)}")
    return f": {'; '.join(fates)}" if fates else ""


def _time(us: float) -> str:
    return f"{us:g} µs" if us < 1e3 else f"{us / 1e3:g} ms" if us < 1e6 else f"{us / 1e6:g} s"


def _thinned(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that are a pixel from the one before: more cannot be seen, and fills the file."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or math.dist(kept[-1], point) >= 1:
            kept.append(point)
    return kept


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(
    points: Sequence[tuple[float, float]], colour: str, width: float = 1, dashes: str = "none"
) -> str:
    style = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'
    return f'<polyline points="{_points(points)}" {style}/>'


def _area(points: Sequence[tuple[float, float]], colour: str) -> str:
    return f'<polygon points="{_points(points)}" fill="{colour}"/>'


def _rect(x: float, y: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place} {_FONT}>{escape(text)}</text>"


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">'
    white = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, white, *parts, "</svg>\n"])
