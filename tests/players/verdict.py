"""Whether each process of a played scenario was in the leaf of its call."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAG = re.compile(r"\bcall-(\d+);")
_LINES = 4


@dataclass(frozen=True)
class Made:
    """A call as the daemon tells of it."""

    id: str
    key: str | None
    command: str


def tag(command: str) -> str:
    """What a played call is known by."""
    found = _TAG.search(command)
    assert found is not None, command
    return found[1]


def told(out: str) -> list[str]:
    """The cgroups that processes of a call told; a shell may have said something of its own."""
    return [line for line in Path(out).read_text().splitlines() if line.startswith("0::")]


def leaf_of(out: str) -> str:
    """The one cgroup that all of them told."""
    (where,) = set(told(out))
    return where


def judge(done: Sequence[Any], made: Sequence[Made], session: str) -> None:
    """Compare what processes said of their cgroups with the leaves below a session's cgroup.

    Calls that are alike share a tag, and only all of them together are right or wrong. One whose
    hook gave up may be in the agent: a busy machine must not stop anybody.
    """
    told_of: list[tuple[str, str]] = []
    for one in done:
        # One that was killed with its harness's patience at an end told what it could.
        least = 1 if one["code"] == -9 else _LINES
        assert len(told(one["out"])) >= least, one
        where = leaf_of(one["out"])
        if not (one["late"] and where == f"0::{session}/agentcg.agent"):
            told_of.append((tag(one["command"]), where))
    assert len(told_of) >= 0.9 * len(done), "too many hooks gave up"
    leaves = [(tag(one.command), f"0::{session}/agentcg.calls/{one.id}") for one in made]
    assert set(told_of) == set(leaves)
    assert len(leaves) == len(told_of), "a leaf was shared"
    tags = {one.key: tag(one.command) for one in made if one.key is not None}
    for one in done:
        # A harness's id leads to its call; not where the command left the hooks behind.
        if one["key"] in tags:
            assert tags[one["key"]] == tag(one["command"])
