"""What all scripted harnesses share: hooks as their settings name them, calls, words heard."""

import itertools
import json
import shlex
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

Json = Any
SHELL = "/bin/bash"
LATE = 0.85


@dataclass
class Done:
    """One tool call: its id (if the harness has any), exit code, what the model heard, output.

    `late`: the hook before it took about as long as it may at most, and probably gave up.
    """

    key: str | None
    code: int | None
    told: str
    out: str
    cwd: str
    late: bool


@dataclass
class Player:
    """A harness with the settings that the installer writes, and a folder for its files.

    `slow` is how long the slowest hook took.
    """

    settings: Json
    folder: str
    session: str = field(default_factory=lambda: str(uuid.uuid4()))
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    slow: float = 0.0

    # What the dialect calls these.
    EVENT = "hook_event_name"
    BEFORE = "PreToolUse"
    AFTER = "PostToolUse"
    START = "SessionStart"
    TOOL = "Bash"
    SECOND = 1.0  # the unit of a hook's timeout
    # Fields that tell agents of a conversation apart, itself first.
    AGENTS: tuple[Json, ...] = ({},)

    @property
    def acg(self) -> str:
        """The client."""
        groups = next(iter(self.settings["hooks"].values()))
        return str(groups[0]["hooks"][0]["command"].split()[0])

    def declared(self, script: str, *options: str) -> str:
        """A command that is a call: here the script itself says so."""
        words = (self.acg, "run", *options, "--", "sh", "-c", script)
        return shlex.join(words)

    def background(self, command: str) -> tuple[str, dict[str, Json]]:
        """The same for a command that is not to be waited for; here the shell's matter."""
        return f"{command} &", {}

    def start(self, line: str, shell: str, **more: Any) -> "subprocess.Popen[str]":
        """Start a shell with a line: a hook, or a tool's command."""
        return subprocess.Popen([shell, "-c", line], text=True, **more)

    def doc(self, event: str, fields: Json) -> Json:
        """The JSON of a hook."""
        return {
            "session_id": self.session,
            "transcript_path": "/tmp/t.jsonl",
            "cwd": "/",
            self.EVENT: event,
            "a_field_of_tomorrow": {"x": [1]},
            **fields,
        }

    def hook(self, event: str, **fields: Json) -> str:
        """Run the hooks of an event; returns what the model is told."""
        doc = self.doc(event, fields)
        told = []
        for group in self.settings["hooks"].get(event, []):
            if group.get("matcher") not in (None, fields.get("tool_name")):
                continue
            for one in group["hooks"]:
                begun = time.monotonic()
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
                with self.start(one["command"], "/bin/sh", **pipes) as process:
                    limit = one["timeout"] * self.SECOND
                    # An emulated machine is slow; what a hook itself takes is tested elsewhere.
                    out, _ = process.communicate(json.dumps(doc), timeout=limit + 30)
                assert process.returncode == 0
                self.slow = max(self.slow, time.monotonic() - begun)
                told.append(self.heard(event, json.loads(out)) if out else "")
        return "".join(told)

    def heard(self, event: str, said: Json) -> str:
        """What the model hears of a hook's stdout; anything but words would be a decision."""
        inner = said["hookSpecificOutput"]
        assert set(said) == {"hookSpecificOutput"}
        assert set(inner) <= {"hookEventName", "additionalContext"}
        assert inner.get("hookEventName", event) == event
        return str(inner["additionalContext"])

    def fields(self, command: str, key: str, *, background: bool) -> Json:
        """What a hook before a tool is told of a call."""
        raise NotImplementedError

    def after(self, code: int | None, same: Json) -> str:
        """Run the hooks after a tool; a command without a code goes on."""
        raise NotImplementedError

    def line(self, command: str, cwd: str) -> str:
        """What the shell is given; `cwd` names a file for the directory it ends in."""
        raise NotImplementedError

    def run(self, line: str, out: str, *, background: bool, timeout: float) -> int | None:
        """Run a line in a shell of its own; None where it goes on when the harness does."""
        # Not closed here: it may go on.
        with open(out, "w") as sink:  # noqa: PTH123
            process = self.start(
                line, SHELL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            return None if background else process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.late(process)

    def late(self, process: "subprocess.Popen[str]") -> int | None:
        """The time of a command is up: here it goes on in the background."""
        return None

    def call(
        self,
        command: str,
        *,
        background: bool = False,
        timeout: float = 60,
        agent: Json | None = None,
    ) -> Done:
        """One tool call with its hooks."""
        key = f"call_{next(self.numbers):03}{uuid.uuid4().hex[:8]}"
        out, cwd = f"{self.folder}/{key}.out", f"{self.folder}/{key}-cwd"
        same = self.fields(command, key, background=background) | (agent or {})
        begun = time.monotonic()
        told = self.hook(self.BEFORE, **same)
        late = time.monotonic() - begun > LATE
        code = self.run(self.line(command, cwd), out, background=background, timeout=timeout)
        told += self.after(code, same)
        return Done(same.get("tool_use_id"), code, told, out, cwd, late)

    def prompt(self) -> str:
        """The person says something; returns what the model is told beside it."""
        return ""

    def close(self) -> None:
        """End what the harness itself keeps running."""
