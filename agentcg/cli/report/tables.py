"""The tables of a report: all of its figures, over all sessions."""

import datetime
from collections.abc import Iterable, Sequence

from agentcg.cli.render import NONE, size, span
from agentcg.cli.report.gather import BY_ITSELF, TOLD, Material
from agentcg.cli.report.markup import Markup, el
from agentcg.model.outcome import Cause
from agentcg.policy import intents, quantiles

_WASTERS, _KINDS, _SESSIONS = 20, 30, 500


def totals(made: Material) -> Markup:
    """Sums over all calls, whatever is drawn."""
    known = made.accounts
    oom = sum(one.cause is Cause.OOM for one in known)
    ended = sum(one.cause in BY_ITSELF for one in known)
    # Without the memory controller no call's peak is known.
    measured = not known or any(one.peak is not None for one in known)
    wasted = sum(map(intents.wasted, known)) / 3600
    figures = (
        ("sessions", str(len(made.sessions))),
        ("closed calls", str(len(known))),
        ("open calls", str(len(made.open_calls))),
        ("ended by themselves", str(ended)),
        ("killed for memory", str(oom)),
        ("otherwise stopped", str(len(known) - ended - oom)),
        ("time in calls", span(sum(one.wall or 0.0 for one in known))),
        ("CPU time of calls", span(sum(one.cpu or 0.0 for one in known))),
        ("promised and not used", f"{size(wasted)} hours" if measured else NONE),
    )
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in figures))


def sessions(made: Material) -> Markup:
    """A row each, and what they sum up to."""
    rows: dict[str, list[float]] = {one.session: [0, 0, 0.0, 0.0] for one in made.sessions}
    for one in made.accounts:
        row = rows.setdefault(one.session, [0, 0, 0.0, 0.0])
        row[0] += 1
        row[1] += one.cause not in BY_ITSELF
        row[2] += one.cpu or 0.0
        row[3] = max(row[3], one.peak or 0)
    ranked = sorted(rows.items(), key=lambda item: (-item[1][1], -item[1][0], item[0]))
    shown = [
        (name, f"{calls:.0f}", f"{bad:.0f}", span(cpu), size(peak or None))
        for name, (calls, bad, cpu, peak) in ranked[:_SESSIONS]
    ]
    note = _left(len(ranked), len(shown))
    head = ("session", "calls", "did not end by themselves", "CPU time", "highest peak of a call")
    return _table(f"Sessions{note}", head, shown)


def wasters(made: Material) -> Markup:
    """Calls that were promised most that they did not use."""
    worst = intents.top_wasters(made.accounts, _WASTERS)
    rows = [
        (
            one.call,
            one.session,
            one.kind,
            size(one.asked_limit),
            size(one.limit),
            size(one.guarantee or None),
            size(one.peak),
            size(intents.unused(one)),
            span(one.wall),
        )
        for one in worst
    ]
    head = (
        "call",
        "session",
        "class",
        "asked limit",
        "limit",
        "guarantee",
        "peak",
        "unused",
        "for",
    )
    title = "Top wasters: memory that was declared or granted and not used, times how long"
    return _table(title, head, rows, words=3)


def accuracy(made: Material) -> Markup:
    """The peak as a share of the limit that was asked for: over all, and by class."""
    counts = intents.accuracy(made.accounts)
    bounds = (0.0, *intents.SHARES)
    names = [f"{a:.0%} to {b:.0%}" for a, b in zip(bounds, intents.SHARES, strict=False)]
    rows = [(name, str(count)) for name, count in zip([*names, "above"], counts, strict=True)]
    whole = _table(
        "Intent accuracy: peak as a share of the limit asked for", ("share", "calls"), rows
    )
    kinds = [one for one in quantiles.by_kind(made.accounts) if one.asked]
    by_kind = [
        (
            one.kind,
            str(one.calls),
            str(one.asked),
            _share(one.used_of_limit.p50),
            _share(one.used_of_limit.p90),
            _share(one.used_of_limit.most),
        )
        for one in kinds[:_KINDS]
    ]
    head = ("class", "calls", "asked", "median", "90 %", "most")
    note = _left(len(kinds), len(by_kind))
    return Markup(whole + _table(f"Intent accuracy by class{note}", head, by_kind))


def outcomes(made: Material) -> Markup:
    """How calls ended, and of those that were ended the reasons."""
    counts = intents.by_cause(made.accounts)
    first = _table(
        "Outcomes", ("cause", "calls"), [(c.value, str(n)) for c, n in counts.most_common()]
    )
    ended = [one for one in made.accounts if one.cause not in BY_ITSELF]
    rows = []
    for one in ended[:TOLD]:
        record = made.records.get(one.call)
        result = None if record is None else record.outcome
        command = one.kind if record is None else record.intent.command or one.kind
        rows.append(
            (
                clock(one.declared_at),
                one.call,
                one.session,
                _short(command),
                one.cause.value,
                size(one.peak),
                size(one.limit),
                "not remembered any more" if result is None else result.advice or NONE,
            )
        )
    head = ("declared", "call", "session", "command", "cause", "peak", "limit", "reason")
    note = _left(len(ended), len(rows))
    return Markup(
        first + _table(f"Calls that did not end by themselves{note}", head, rows, words=8)
    )


def clock(at: float) -> str:
    """A time of the local clock."""
    when = datetime.datetime.fromtimestamp(at, datetime.UTC).astimezone()
    return when.strftime("%Y-%m-%d %H:%M:%S")


def _table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1
) -> Markup:
    """A table whose first columns, `words` of them, are text and the others figures."""
    body = [
        el(
            "tr",
            *(el("td", cell, class_=None if n < words else "figure") for n, cell in enumerate(row)),
        )
        for row in rows
    ]
    if not body:
        body = [el("tr", el("td", "none", colspan=len(head)))]
    top = el("thead", el("tr", *(el("th", name, scope="col") for name in head)))
    whole = el("table", el("caption", title), top, el("tbody", *body))
    return el("div", whole, class_="wide")


def _left(all_of_them: int, shown: int) -> str:
    return "" if all_of_them == shown else f" (the first {shown} of {all_of_them})"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:159] + "…"
