"""As Codex: commands run by `bash -lc`, and one that takes too long goes on in its terminal."""

import subprocess
from typing import Any

from typing_extensions import override

from tests.players.player import SHELL, Json, Player


class Codex(Player):
    """Its hooks have ids of calls and of inner agents; PostToolUse runs for failures too."""

    AGENTS = ({}, {"agent_id": "g1", "agent_type": "worker"}, {"agent_id": "g2"})

    @override
    def start(self, line: str, shell: str, **more: Any) -> "subprocess.Popen[str]":
        flag = "-lc" if shell == SHELL else "-c"
        return subprocess.Popen([shell, flag, line], text=True, **more)

    @override
    def doc(self, event: str, fields: Json) -> Json:
        more = {"turn_id": "t1", "model": "m", "permission_mode": "default"}
        return super().doc(event, {**more, "transcript_path": None, **fields})

    @override
    def fields(self, command: str, key: str, *, background: bool) -> Json:
        return {"tool_name": self.TOOL, "tool_input": {"command": command}, "tool_use_id": key}

    @override
    def line(self, command: str, cwd: str) -> str:
        return command

    @override
    def after(self, code: int | None, same: Json) -> str:
        return self.hook(self.AFTER, **same, tool_response=f"exit code {code}")
