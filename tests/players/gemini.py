"""As Gemini CLI: no ids, and a command whose time is up is killed with its process group."""

import os
import signal
import subprocess

from typing_extensions import override

from tests.players.player import Json, Player


class Gemini(Player):
    """Times are in milliseconds; anything but JSON on a hook's stdout would be a fault."""

    BEFORE, AFTER = "BeforeTool", "AfterTool"
    TOOL = "run_shell_command"
    SECOND = 0.001

    @override
    def doc(self, event: str, fields: Json) -> Json:
        return super().doc(event, {"timestamp": "2026-01-01T00:00:00Z", **fields})

    @override
    def fields(self, command: str, key: str, *, background: bool) -> Json:
        return {"tool_name": self.TOOL, "tool_input": {"command": command, "description": "d"}}

    @override
    def line(self, command: str, cwd: str) -> str:
        end = f"__code=$?; pgrep -g 0 >{cwd} 2>&1; exit $__code;"
        return f"{{ {command}\n}}; {end}"

    @override
    def late(self, process: "subprocess.Popen[str]") -> int | None:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    @override
    def after(self, code: int | None, same: Json) -> str:
        response = {"llmContent": f"Exit Code: {code}", "returnDisplay": "x"}
        return self.hook(self.AFTER, **same, tool_response=response)
