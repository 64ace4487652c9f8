"""What a harness's settings file must say so that it tells us of its calls.

Every entry of ours runs `acg hook HARNESS`, by which it is known again: to be renewed, or taken
out, beside what others wrote.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentcg.errors import ConflictError

PREFIX = "CLAUDE_CODE_SHELL_PREFIX"
_PLUGIN = f"{__file__.rpartition('/')[0]}/opencode.ts"
_PLUGIN_ENDS = "/agentcg/harness/opencode.ts"


@dataclass(frozen=True, slots=True)
class Wiring:
    """One harness's file: below the home of its user, and for everybody.

    `events` has a matcher for tools, or None, by event. `timeout` is in the harness's own unit.
    `prefix`: its shell can be wrapped. `plugin`: it loads one of ours, and has no `events`.
    `in_project`: its file is below the project, not the home.
    """

    user: str
    managed: str | None
    events: Mapping[str, str | None]
    timeout: int
    prefix: bool = False
    plugin: bool = False
    in_project: bool = False


WIRINGS: Mapping[str, Wiring] = {
    "claude-code": Wiring(
        user=".claude/settings.json",
        managed="/etc/claude-code/managed-settings.json",
        events={
            "PreToolUse": "Bash",
            "PostToolUse": "Bash",
            "PostToolUseFailure": "Bash",
            "SessionStart": None,
            "SessionEnd": None,
        },
        timeout=2,
        prefix=True,
    ),
    "codex": Wiring(
        user=".codex/hooks.json",
        managed=None,
        events={"PreToolUse": "Bash", "PostToolUse": "Bash", "SessionStart": None},
        timeout=2,
    ),
    "gemini": Wiring(
        user=".gemini/settings.json",
        managed=None,
        events={
            "BeforeTool": "run_shell_command",
            "AfterTool": "run_shell_command",
            "SessionStart": None,
            "SessionEnd": None,
        },
        timeout=2000,
    ),
    "opencode": Wiring(
        user=".config/opencode/opencode.json", managed=None, events={}, timeout=0, plugin=True
    ),
    "openhands": Wiring(
        user=".openhands/hooks.json",
        managed=None,
        events={
            "PreToolUse": "terminal",
            "PostToolUse": "terminal",
            "UserPromptSubmit": None,
            "SessionEnd": None,
        },
        timeout=2,
        in_project=True,
    ),
}


def wired(doc: Mapping[str, Any], harness: str, acg: str) -> dict[str, Any]:
    """The settings with our entries in them, once.

    Raises:
        ConflictError: the shape is not the harness's, or its one place for a prefix is taken.
    """
    made, how = unwired(doc, harness), WIRINGS[harness]
    if how.plugin:
        made.setdefault("plugin", []).append([f"file://{_PLUGIN}", {"acg": acg}])
        return made
    hooks = made.setdefault("hooks", {})
    for event, matcher in how.events.items():
        one = {"type": "command", "command": f"{acg} hook {harness}", "timeout": how.timeout}
        group = {"hooks": [one]} if matcher is None else {"matcher": matcher, "hooks": [one]}
        hooks.setdefault(event, []).append(group)
    if how.prefix:
        env = made.setdefault("env", {})
        if PREFIX in env:
            raise ConflictError(
                f"env.{PREFIX} is {env[PREFIX]!r:.80} already, and there can be one: remove it, or "
                f"have it start {acg}-shell"
            )
        env[PREFIX] = f"{acg}-shell"
    return made


def unwired(doc: Mapping[str, Any], harness: str) -> dict[str, Any]:
    """The settings without our entries, and without what they alone kept there.

    Raises:
        ConflictError: the shape is not the harness's.
    """
    made = copy.deepcopy(dict(doc))
    if WIRINGS[harness].plugin:
        return _unplugged(made)
    hooks = _table(made, "hooks")
    for event in list(hooks):
        groups = hooks[event]
        if not isinstance(groups, list):
            if event not in WIRINGS[harness].events:
                continue  # a switch, such as Gemini CLI's hooks.enabled
            raise ConflictError(f"hooks.{event} is no list: mend the file first")
        kept = [left for group in groups if (left := _without(group, harness)) is not None]
        if len(kept) < len(groups) or kept != groups:
            hooks[event] = kept
            if not kept:
                del hooks[event]
    env = _table(made, "env")
    if _ours(env.get(PREFIX)):
        del env[PREFIX]
    for name in ("hooks", "env"):
        if name in made and not made[name] and doc[name]:
            del made[name]
    return made


def is_wired(doc: Mapping[str, Any], harness: str) -> bool:
    """Whether the settings have entries of ours."""
    return unwired(doc, harness) != doc


def _unplugged(made: dict[str, Any]) -> dict[str, Any]:
    plugins = made.get("plugin", [])
    if not isinstance(plugins, list):
        raise ConflictError("plugin is no list: mend the file first")
    kept = [one for one in plugins if not _plugs_us(one)]
    if len(kept) < len(plugins):
        made["plugin"] = kept
        if not kept:
            del made["plugin"]
    return made


def _plugs_us(plugin: Any) -> bool:  # noqa: ANN401
    name = plugin[0] if isinstance(plugin, list) and plugin else plugin
    return isinstance(name, str) and name.endswith(_PLUGIN_ENDS)


def _table(doc: dict[str, Any], name: str) -> dict[str, Any]:
    value = doc.get(name, {})
    if not isinstance(value, dict):
        raise ConflictError(f"{name} is no object: mend the file first")
    return value


def _without(group: Any, harness: str) -> Any:  # noqa: ANN401 - whatever others wrote
    """A group without our hooks; None if nothing else was in it."""
    if not isinstance(group, dict) or not isinstance(group.get("hooks"), list):
        return group
    kept = [
        one
        for one in group["hooks"]
        if not (isinstance(one, dict) and _runs_us(one.get("command"), harness))
    ]
    if len(kept) == len(group["hooks"]):
        return group
    return {**group, "hooks": kept} if kept else None


def _runs_us(command: Any, harness: str) -> bool:  # noqa: ANN401
    return isinstance(command, str) and command.endswith(f"acg hook {harness}")


def _ours(prefix: Any) -> bool:  # noqa: ANN401
    return isinstance(prefix, str) and prefix.rpartition("/")[2] == "acg-shell"
