"""A harness that knows nothing of agentcg: it starts the commands that it is told to.

Each line on stdin is a JSON object: `how` is the way of starting (in a shell with that line, by the
words, or typed into a shell that stays), `run` the line or the words, `env` what is added.
"""

import json
import os
import subprocess
import sys


def main() -> None:
    """Serve until stdin ends."""
    with subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None
        print(shell.pid, flush=True)
        running = []
        for line in sys.stdin:
            told = json.loads(line)
            if told["how"] == "typed":
                shell.stdin.write(f"{told['run']}\n")
                shell.stdin.flush()
                continue
            words = ["bash", "-c", told["run"]] if told["how"] == "line" else told["run"]
            running.append(subprocess.Popen(words, env={**os.environ, **told["env"]}))
        for one in running:
            one.wait()
        shell.stdin.close()


if __name__ == "__main__":
    main()
