"""What the scripted harnesses do; each returns what the test compares with the daemon's account."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.players.claude_code import ClaudeCode
from tests.players.player import Done, Json, Player

_OWN = "grep -h ^0:: /proc/self/cgroup"
# Where the shell is, a child, a grandchild in the background, and one with a session of its own.
WHERE = f"grep -h ^0:: /proc/$$/cgroup; {_OWN}; ({_OWN} & wait); setsid -w {_OWN}"
AT_ONCE = 4

# A command, and what else the player is told of it.
Job = tuple[str, dict[str, Json]]


@dataclass(frozen=True)
class Turn:
    """How much is played, and the seconds that a short while takes on this machine."""

    count: int
    pace: float


def tagged(number: int, script: str) -> str:
    """A script by which its call is known again."""
    return f": call-{number}; {script}"


def _call(player: Player, number: int, script: str) -> str:
    return player.declared(tagged(number, script), "--on-end", "keep")


def many(player: Player, turn: Turn) -> Json:
    """Calls of all kinds, several at a time, in the conversation and in agents inside it."""
    short, long = turn.pace, 4 * turn.pace
    kinds = [
        WHERE,
        f"cd /usr && {WHERE}",
        f'echo "it\'s" \'a "b"\' `true` $HOME \\! >/dev/null; {WHERE}',
        f"for i in 1 2\ndo\n  sleep 0.05\ndone\n{WHERE}; exit 3",
        f"{WHERE}; kill -SEGV $$",
        f"(sleep {short}; {_OWN}) & {WHERE}",
    ]
    jobs: list[Job] = []
    for n in range(turn.count):
        agent = {"agent": player.AGENTS[n % len(player.AGENTS)]}
        match n % 10:
            case 8:
                command, how = player.background(_call(player, n, f"sleep {short}; {WHERE}"))
                jobs.append((command, how | agent))
            case 9:
                command = _call(player, n, f"{_OWN}; sleep {long}; {WHERE}")
                jobs.append((command, {"timeout": 2 * short} | agent))
            case 7:  # as the one before: nothing can tell them apart
                jobs.append((jobs[-1][0], agent))
            case kind:
                jobs.append((_call(player, n, kinds[kind % len(kinds)]), agent))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(player.call, command, **how) for command, how in jobs]
        done = [one.result() for one in waiting]
    return _listed(jobs, done)


def undeclared(player: Player, turn: Turn) -> Json:
    """Commands that do not say that they are calls."""
    return [asdict(player.call(WHERE)) for _ in range(turn.count)]


def killed(player: Player, turn: Turn) -> Json:
    """One over its deadline, then one in the background, told with what comes later."""
    first = player.call(_limited(player, turn.pace, "sleep 60"))
    later = player.prompt()
    # Its hook after it must be through before that.
    command, how = player.background(_limited(player, turn.pace + 2, "sleep 61"))
    second = player.call(command, **how)
    time.sleep(2 + 4 * turn.pace)
    rest = [player.call("true"), player.call("true")]
    return [asdict(one) for one in (first, second, *rest)] + [later, player.prompt()]


def _limited(player: Player, seconds: float, script: str) -> str:
    command = player.declared(script, "--deadline", f"{seconds:g}")
    # Where the script itself is the command, the words for the daemon stand before it.
    return f"AGENT_RESOURCE_HINT=deadline:{seconds:g} {script}" if command == script else command


def denied(player: Player, turn: Turn) -> Json:
    """Calls that the person does not allow, or whose hint is wrong."""
    player.hook(player.BEFORE, **player.fields("rm x", "toolu_no", background=False))
    wrong = player.call("AGENT_RESOURCE_HINT=memory:lots true")
    return [player.hook("SessionEnd", reason="exit"), asdict(wrong)]


def left(player: Player, turn: Turn) -> Json:
    """Calls that leave something behind, and are over."""
    return [asdict(player.call(player.declared(f"{WHERE}; sleep 1000 &")))]


def interrupted(player: Player, turn: Turn) -> Json:
    """A call that the person stops, with something in it that would go on."""
    assert isinstance(player, ClaudeCode)
    player.stopped("setsid sleep 1000 & echo; sleep 1000")


def crash(player: Player, turn: Turn) -> Json:
    """The harness dies in the middle of its calls; told before it does, as it cannot after."""
    script = f"{_OWN}; sleep {4 * turn.pace}; {WHERE}"
    pool = ThreadPoolExecutor(turn.count)
    for n in range(turn.count):
        pool.submit(player.call, _call(player, n, script))
    while True:
        outs = list(Path(player.folder).glob("*.out"))
        if len(outs) == turn.count and all(one.read_text() for one in outs):
            break
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


def _listed(jobs: list[Job], done: list[Done]) -> Json:
    return [asdict(one) | {"command": job[0]} for job, one in zip(jobs, done, strict=True)]


SCENARIOS: Mapping[str, Callable[[Player, Turn], Json]] = {
    "many": many,
    "undeclared": undeclared,
    "killed": killed,
    "denied": denied,
    "left": left,
    "interrupted": interrupted,
    "crash": crash,
}
