"""What a hook costs beyond the start of a process: `make bench-hooks`.

The client itself, doing nothing, is the bare process. docs/benchmarks has the figures.
"""

import json
import os
import signal
import socket
import tempfile
from pathlib import Path

from agentcg.client import Client
from tests.bench.arms import Arm, Site, compare
from tests.root.daemon import ACG, RUN, running
from tests.unit.harness.documented import AFTER, CLAUDE

RUNS = int(os.environ.get("RUNS", "1000"))
FEW = 20  # of those that wait for their deadline
BARE = Arm("bare acg", (str(ACG), "--version"))


def main() -> None:
    """Run every arm and print the figures."""
    root = Path(os.environ["AGENTCG_TEST_ROOT"])
    with tempfile.TemporaryDirectory() as scratch:
        hooks = _hooks(Path(scratch))
        with (
            running(root, "bench/agentcg.slice", Path(scratch)) as daemon,
            Client(RUN / "admin.sock") as client,
        ):
            daemon.open("one")
            home = daemon.session("one")
            for gap in (0.0, 0.1):
                compare(Site(client, home), (BARE, *hooks), RUNS, gap=gap)
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGSTOP)
            compare(Site(client, home, ", daemon stopped"), (BARE, hooks[0]), FEW, gap=0.0)
            daemon.stop(signal.SIGKILL)
            # The dead one's sockets listen on, as systemd has them.
            (RUN / "agent/sock").unlink()
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(RUN / "agent/sock"))
                listener.listen(512)
                dead = Site(client, home, ", daemon dead, its socket listening")
                compare(dead, (BARE, hooks[0]), RUNS, gap=0.0)
                (RUN / "agent/alive").unlink()
                unknown = Site(client, home, ", somebody listens, never a daemon")
                compare(unknown, (BARE, hooks[0]), FEW, gap=0.0)


def _hooks(scratch: Path) -> tuple[Arm, Arm]:
    before, after = scratch / "before.json", scratch / "after.json"
    before.write_text(json.dumps(CLAUDE))
    event, more = AFTER["claude-code"]
    # The output of a tool is in there.
    more = {**more, "tool_response": {"stdout": "x" * 10_000}, "hook_event_name": event}
    after.write_text(json.dumps({**CLAUDE, **more}))
    words = (str(ACG), "hook", "claude-code")
    return (
        Arm("hook before a tool", words, base=BARE.name, stdin=str(before)),
        Arm("hook after a tool", words, base=BARE.name, stdin=str(after)),
    )


if __name__ == "__main__":
    main()
