"""The order in which the daemon comes up."""

import contextlib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from agentcg.control import (
    doors,
    escalating,
    governing,
    gpu,
    guarantees,
    main,
    observing,
    recover,
    stepping,
)
from agentcg.kernel import lifeline
from agentcg.sandbox import bare
from agentcg.settings import Settings


async def test_processes_are_heard_of_only_when_all_is_taken_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order: list[str] = []

    def noted(name: str) -> Any:
        async def step(*_: object) -> None:
            order.append(name)

        return step

    for part, step in (
        (governing, "start"),
        (observing, "start"),
        (recover, "recover"),
        (escalating, "resume"),
        (gpu, "start"),
        (guarantees, "start"),
        (stepping, "start"),
    ):
        monkeypatch.setattr(part, step, noted(part.__name__.rpartition(".")[2]))
    monkeypatch.setattr(observing, "listen", lambda _: order.append("listen"))
    monkeypatch.setattr(main, "_core", lambda _: MagicMock())
    for name in ("_serve", "_close"):
        monkeypatch.setattr(main, name, noted(name))
    monkeypatch.setattr(main, "_follow_pool", lambda _: None)
    monkeypatch.setattr(main, "_away", lambda *_: "")
    monkeypatch.setattr(doors, "sockets", lambda _: {})
    monkeypatch.setattr(doors, "web", lambda _: {})
    monkeypatch.setattr(doors, "down_file", lambda _: tmp_path / "down")
    monkeypatch.setattr(bare, "parent", lambda *_: MagicMock())
    monkeypatch.setattr(lifeline, "held", lambda _: contextlib.nullcontext())
    await main._run(Settings())
    assert order.index("observing") < order.index("recover")
    assert order[order.index("recover") :][-4:] == ["stepping", "listen", "_serve", "_close"]
