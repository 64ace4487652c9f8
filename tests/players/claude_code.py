"""As Claude Code: Bash calls are shells of their own, wrapped by a prefix, as hooks are too."""

import os
import shlex
import subprocess
from typing import Any

from typing_extensions import override

from tests.players.player import Json, Player


class ClaudeCode(Player):
    """Every process that it starts has the prefix before it; what takes too long goes on."""

    AGENTS = ({}, {"agent_id": "a1", "agent_type": "x"}, {"agent_id": "a2"})

    @override
    def declared(self, script: str, *options: str) -> str:
        """The script as it is: the prefix makes it a call."""
        return script

    @override
    def background(self, command: str) -> tuple[str, dict[str, Json]]:
        return command, {"background": True}

    @override
    def start(self, line: str, shell: str, **more: Any) -> "subprocess.Popen[str]":
        env = {**os.environ, "CLAUDECODE": "1", "SHELL": "/bin/bash"}
        env["CLAUDE_CODE_SESSION_ID"] = self.session
        prefix = self.settings["env"]["CLAUDE_CODE_SHELL_PREFIX"]
        wrapped = f"{shlex.quote(prefix)} {shlex.quote(line)}"
        return subprocess.Popen([shell, "-c", wrapped], text=True, env=env, **more)

    @override
    def doc(self, event: str, fields: Json) -> Json:
        return super().doc(event, {"permission_mode": "default", **fields})

    @override
    def fields(self, command: str, key: str, *, background: bool) -> Json:
        given = {"command": command, "description": "d", "run_in_background": background}
        return {"tool_name": self.TOOL, "tool_input": given, "tool_use_id": key}

    @override
    def line(self, command: str, cwd: str) -> str:
        first, pipe, rest = command.partition(" | ")
        quiet = f"{first} < /dev/null{pipe}{rest}"
        body = (
            f"eval {shlex.quote(quiet)}" if pipe else f"eval {shlex.quote(command)} \\< /dev/null"
        )
        return f"source /dev/null && {body} && pwd -P >| {cwd}"

    @override
    def after(self, code: int | None, same: Json, *, interrupted: bool = False) -> str:
        if code or interrupted:
            error = f"Exit code {code}"
            same = {**same, "error": error, "is_interrupt": interrupted}
            return self.hook("PostToolUseFailure", **same)
        response = {"stdout": "", "stderr": "", "interrupted": False, "isImage": False}
        return self.hook("PostToolUse", **same, tool_response=response, duration_ms=5)

    def stopped(self, command: str) -> None:
        """One call that the person stops: its shell is killed, and the hook says so."""
        same = self.fields(command, "call_stopped", background=False)
        self.hook(self.BEFORE, **same)
        line, out = self.line(command, "/dev/null"), subprocess.PIPE
        with self.start(line, "/bin/bash", stdout=out) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
            process.stdout.close()
        self.after(process.returncode, same, interrupted=True)
