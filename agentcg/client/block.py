"""`agentcg.call`: a block of Python whose subprocesses are one tool call.

The call's main process is a *holder*, a shell that waits for its exit code: the call lasts as long
as it does, also when this program dies. Every process of the block joins the holder in its cgroup
(`acg run --join`). Without a daemon, or outside of a session, the block runs all the same.
"""

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from agentcg import native
from agentcg.client import wire
from agentcg.client.sync import Client
from agentcg.errors import AgentcgError, BadValueError, ConflictError, LimitError
from agentcg.intent.options import command_line, hinted, made
from agentcg.model.call import CallState
from agentcg.model.grant import Grant
from agentcg.model.outcome import Outcome

# As long as `acg run` waits for a daemon that hangs.
PATIENCE = 10.0
_HOLD = 'echo && read -r code && exit "$code"'
_OWN = ("AGENTCG_CALL", "AGENT_RESOURCE_HINT")
Words = str | Sequence[str]


class Block:
    """One call, for the length of a `with` or `async with`; what it starts by itself is in it.

    `id` is None where there is no call, and `why` says why not. `exit_code` is what the call is
    said to end with: that of the last `run`, or what you set. `outcome` is there afterwards.
    """

    def __init__(
        self,
        command: str | None = None,
        *,
        tool: str = "python",
        call_id: str | None = None,
        memory: int | str | None = None,
        guarantee: int | str | None = None,
        cores: float | str | None = None,
        cpu_class: str = "normal",
        pids: int | None = None,
        duration: float | str | None = None,
        deadline: float | str | None = None,
        priority: int | None = None,
        on_pressure: str = "throttle",
        on_end: str = "kill",
        hint: str | None = None,
    ) -> None:
        """Say what the call is and needs; sizes and times may have units.

        A `hint` is written as AGENT_RESOURCE_HINT is, and wins over the rest.

        Raises:
            BadValueError: a value does not parse; the message names it.
        """
        self.command = command
        self.id: str | None = None
        self.why: str | None = None
        self.grant: Grant | None = None
        self.outcome: Outcome | None = None
        self.exit_code: int | None = None
        self._body: dict[str, Any] = {
            "command": None if command is None else command_line([command]),
            "tool": tool,
            "call_id": call_id or f"py-{secrets.token_hex(8)}",
            "memory": {"limit": memory, "guarantee": guarantee},
            "cpu": {"class": cpu_class, "cores": cores},
            "pids": pids,
            "duration": duration,
            "deadline": deadline,
            "priority": priority,
            "on_pressure": on_pressure,
            "on_end": on_end,
        }
        made(self._body, hinted(self._body, hint))
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._open()
        except (BadValueError, LimitError):
            raise
        except AgentcgError as error:
            self.why = error.message
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._holder is None or self.id is None:
            return
        code = self.exit_code if self.exit_code is not None else int(kind is not None)
        try:
            self._close(self._holder, self.id, code if code >= 0 else 128 - code)
        except AgentcgError as error:
            self.why = error.message

    async def __aenter__(self) -> Self:
        # A thread of its own has nobody else's loop to hold up.
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.__exit__, kind, None, None))

    @property
    def advice(self) -> str:
        """What happened and what to do next, in words for a model; empty where nothing is known."""
        return "" if self.outcome is None else self.outcome.advice

    def wrap(self, words: Words | None = None) -> list[str]:
        """The arguments that start a process in the call, for whatever starts processes.

        A string is a line for a shell; without either it is the call's own command.
        """
        line = self.command if words is None else words
        if line is None:
            raise BadValueError("nothing to run: give a command to the call or to the process")
        argv = ["/bin/sh", "-c", line] if isinstance(line, str) else list(line)
        if self.id is None:
            return argv
        return [str(native.acg()), "run", "--join", self.id, "--", *argv]

    def popen(self, words: Words | None = None, **how: Any) -> subprocess.Popen[Any]:  # noqa: ANN401
        """Start a process in the call, as subprocess.Popen does."""
        return subprocess.Popen(self.wrap(words), **how)  # noqa: S603 - that is the purpose

    def run(self, words: Words | None = None, **how: Any) -> subprocess.CompletedProcess[Any]:  # noqa: ANN401
        """Run a process in the call, as subprocess.run does; its exit code is the call's."""
        try:
            done = subprocess.run(self.wrap(words), **how)  # noqa: S603
        except subprocess.CalledProcessError as error:
            self.exit_code = error.returncode
            raise
        self.exit_code = done.returncode
        return done

    async def exec(self, words: Words | None = None, **how: Any) -> asyncio.subprocess.Process:  # noqa: ANN401
        """Start a process in the call, as asyncio.create_subprocess_exec does."""
        return await asyncio.create_subprocess_exec(*self.wrap(words), **how)

    def _open(self) -> None:
        program = native.acg()
        with Client(wire.AGENT, timeout=PATIENCE) as client:
            call = client.declare(self._body).call
            if call.state is not CallState.DECLARED:
                raise ConflictError(f"call_id {self._body['call_id']!r} is taken: give a new one")
            self._hold(str(program), _without(os.environ, _OWN))
            view = client.call(call.id)
            if view.call.state is not CallState.RUNNING:
                self._let_go()
                raise ConflictError(f"call {call.id} is {view.call.state.value}: it never ran")
        self.id, self.grant = call.id, view.call.grant

    def _hold(self, program: str, env: Mapping[str, str]) -> None:
        key = str(self._body["call_id"])
        self._holder = subprocess.Popen(  # noqa: S603 - our own words
            [program, "run", "--call-id", key, "--", "/bin/sh", "-c", _HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        if self._holder.stdout is not None:
            # It speaks once it is placed.
            self._holder.stdout.readline()

    def _let_go(self, code: int = 0) -> None:
        if self._holder is not None:
            self._holder.communicate(f"{code}\n")

    def _close(self, holder: subprocess.Popen[str], call: str, code: int) -> None:
        self._let_go(code)
        with Client(wire.AGENT, timeout=PATIENCE) as client:
            # The kernel tells the daemon the same, and whoever is second is refused.
            with contextlib.suppress(ConflictError):
                client.end(call, code if holder.returncode >= 0 else None)
            if self._body["on_end"] == "kill":
                with contextlib.suppress(ConflictError):
                    client.close(call)
            self.outcome = client.call(call).call.outcome


def _without(env: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}
