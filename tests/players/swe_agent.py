"""As SWE-agent with SWE-ReX: actions typed into one shell on a terminal, hooks around each.

Read from SWE-agent's `agent/agents.py` (`handle_action`) and `agent/hooks/abstract.py`, and from
`runtime/local.py` of SWE-ReX 1.4.0. SWE-agent itself is not on PyPI. stdin: a list of actions as
JSON; stdout: what the model reads after each.
"""

import json
import os
import pty
import re
import select
import sys
import termios
import types
from dataclasses import dataclass
from typing import Any

PROMPT = "SHELLPS1PREFIX"
PATIENCE = 120.0


class AbstractAgentHook:
    """SWE-agent's own base of hooks, as far as actions go."""

    def on_action_started(self, *, step: Any) -> None: ...

    def on_action_executed(self, *, step: Any) -> None: ...

    def on_run_done(self, *, trajectory: Any, info: Any) -> None: ...


@dataclass
class Step:
    """SWE-agent's StepOutput, likewise."""

    action: str
    observation: str = ""


class Shell:
    """SWE-ReX's BashSession, without readline: the next line is typed when the prompt has come."""

    def __init__(self) -> None:
        env = {**os.environ, "PS1": PROMPT, "PS2": "", "PS0": ""}
        pid, self._terminal = pty.fork()
        if not pid:
            os.execvpe("bash", ["bash", "--norc", "--noediting"], env)
        attributes = termios.tcgetattr(self._terminal)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self._terminal, termios.TCSANOW, attributes)
        self._prompted()

    def run(self, line: str) -> str:
        os.write(self._terminal, f"{line}\n".encode())
        return self._prompted()

    def _prompted(self) -> str:
        seen = ""
        while not seen.endswith(PROMPT):
            if not select.select([self._terminal], [], [], PATIENCE)[0]:
                raise TimeoutError(f"no prompt after {seen!r}")
            seen += os.read(self._terminal, 4096).decode(errors="backslashreplace")
        plain = re.sub(r"\x1b[@-_][0-?]*[ -/]*[@-~]", "", seen.removesuffix(PROMPT))
        return plain.replace("\r", "").strip("\n")


def main() -> None:
    """Play all actions."""
    base = types.ModuleType("sweagent.agent.hooks.abstract")
    base.AbstractAgentHook = AbstractAgentHook  # type: ignore[attr-defined]
    for name in ("sweagent", "sweagent.agent", "sweagent.agent.hooks"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[base.__name__] = base
    from agentcg.integrations.swe_agent import AgentcgHook

    hook, shell, heard = AgentcgHook(), Shell(), []
    for action in json.load(sys.stdin):
        step = Step(action)
        hook.on_action_started(step=step)
        step.observation = shell.run(step.action.strip())
        hook.on_action_executed(step=step)
        heard.append(step.observation)
    hook.on_run_done(trajectory=[], info={})
    print(json.dumps(heard))


if __name__ == "__main__":
    main()
