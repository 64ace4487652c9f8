"""DIALECT SCENARIO FOLDER COUNT PACE; settings come on stdin, what was seen goes to stdout."""

import json
import sys

from tests.players.claude_code import ClaudeCode
from tests.players.codex import Codex
from tests.players.gemini import Gemini
from tests.players.openhands import OpenHands
from tests.players.scenarios import SCENARIOS, Turn

PLAYERS = {"claude-code": ClaudeCode, "codex": Codex, "gemini": Gemini, "openhands": OpenHands}


def main() -> None:
    """Play."""
    dialect, scenario, folder, count, pace = sys.argv[1:]
    player = PLAYERS[dialect](json.load(sys.stdin), folder)
    brief = player.hook(player.START, source="startup")
    done = SCENARIOS[scenario](player, Turn(int(count), float(pace)))
    player.close()
    json.dump({"done": done, "brief": brief, "slow": player.slow}, sys.stdout)


if __name__ == "__main__":
    main()
