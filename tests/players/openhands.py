"""As OpenHands: a shell that lives on and is typed to; one whose command goes on is left to it.

Words after a tool do not reach the model, those at the person's next prompt do.
"""

import subprocess
import threading
from dataclasses import dataclass, field

from typing_extensions import override

from tests.players.player import SHELL, Json, Player


@dataclass
class Terminal:
    """One shell; a command at a time."""

    process: "subprocess.Popen[str]" = field(
        default_factory=lambda: subprocess.Popen(
            [SHELL], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    )
    busy: threading.Lock = field(default_factory=threading.Lock)


class OpenHands(Player):
    """A delegated agent is a conversation of its own, with a terminal of its own."""

    EVENT = "event_type"
    TOOL = "terminal"
    START = "UserPromptSubmit"
    AGENTS = ({}, {"session_id": "d1"}, {"session_id": "d2"})

    def __init__(self, settings: Json, folder: str) -> None:
        super().__init__(settings, folder)
        self.terminals: list[Terminal] = []
        self.choosing = threading.Lock()

    @override
    def doc(self, event: str, fields: Json) -> Json:
        doc = super().doc(event, {"working_dir": "/", "message": None, "metadata": {}, **fields})
        return {name: doc[name] for name in doc if name not in ("cwd", "transcript_path")}

    @override
    def fields(self, command: str, key: str, *, background: bool) -> Json:
        return {"tool_name": self.TOOL, "tool_input": {"command": command}, "tool_response": None}

    @override
    def line(self, command: str, cwd: str) -> str:
        return command

    @override
    def run(self, line: str, out: str, *, background: bool, timeout: float) -> int | None:
        terminal = self._free()
        with open(out, "w"):  # noqa: PTH123
            pass
        assert terminal.process.stdin is not None
        terminal.process.stdin.write(f"{{ {line}\n}} >>{out} 2>&1 </dev/null; echo $?\n")
        terminal.process.stdin.flush()
        if background:
            threading.Thread(target=self._read, args=(terminal,)).start()
            return None
        code: list[int] = []
        reader = threading.Thread(target=self._read, args=(terminal, code))
        reader.start()
        reader.join(timeout)
        return code[0] if code else None

    @override
    def after(self, code: int | None, same: Json) -> str:
        response = {"exit_code": -1 if code is None else code}
        return self.hook(self.AFTER, **{**same, "tool_response": response})

    @override
    def prompt(self) -> str:
        return self.hook("UserPromptSubmit", message="go on")

    @override
    def heard(self, event: str, said: Json) -> str:
        assert set(said) == {"additionalContext"}
        assert event == "UserPromptSubmit"
        return str(said["additionalContext"])

    @override
    def close(self) -> None:
        """Close the terminals, once what they run is over."""
        for one in self.terminals:
            with one.busy, one.process:
                assert one.process.stdin is not None
                one.process.stdin.close()

    def _free(self) -> Terminal:
        """A terminal that nothing runs in; a new one where all are busy."""
        with self.choosing:
            for one in self.terminals:
                if one.busy.acquire(blocking=False):
                    return one
            one = Terminal()
            one.busy.acquire()
            self.terminals.append(one)
            return one

    def _read(self, terminal: Terminal, code: list[int] | None = None) -> None:
        """Wait for the prompt with the exit code."""
        assert terminal.process.stdout is not None
        line = terminal.process.stdout.readline()
        if code is not None and line:
            code.append(int(line))
        terminal.busy.release()
