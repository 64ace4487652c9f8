"""What a call costs under the installed daemon, beside systemd-run and docker exec.

`make bench-calls VM=1` runs it in the machine. favordynmods is host-wide and only a reboot undoes
it, so it comes last.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from agentcg.kernel.mountinfo import set_favordynmods
from tests.bench.arms import TRUE, Arm, Site, compare, moves, plain
from vm_tests.guest import containers
from vm_tests.guest.sandbox import sandbox, until

RUNS = int(os.environ.get("RUNS", "200"))
DOCKER = int(os.environ.get("DOCKER", "100"))
AGENTCG = "/opt/agentcg/bin/agentcg"
ACG = Path("/usr/local/bin/acg")
GAP = 0.1


def main() -> None:
    """Run every arm and print the figures, without and with favordynmods; RUNS=0: the shim only."""
    with (
        sandbox("bench") as box,
        containers.container(*containers.LABEL) as engine,
        _shimmed() as shimmed,
    ):
        session = containers.session_of(box.client, engine)
        containers.session_of(box.client, shimmed)
        site = Site(box.client, box.path)
        if RUNS:
            _processes(site)
        execs = _execs(engine, shimmed, session.id)
        compare(site, execs if RUNS else execs[:2], DOCKER, gap=0.0)
        if not RUNS:
            return
        set_favordynmods(containers.CGROUP)
        _processes(Site(box.client, box.path, ", favordynmods"))


def _processes(site: Site) -> None:
    scope = ("systemd-run", "--quiet", "--collect", "--scope", "--", TRUE)
    arms = (*plain(ACG, "bench"), Arm("systemd-run --scope", scope, base="bare"))
    for gap in (0.0, GAP):
        compare(site, arms, RUNS, gap=gap)
        moves(site, RUNS, gap=gap)


@contextlib.contextmanager
def _shimmed() -> Iterator[containers.Box]:
    """A container whose runtime is the shim."""
    words = ("--file", "/etc/docker/daemon.json", "--reload")
    subprocess.run([AGENTCG, "docker", "enable", *words], check=True, stdout=sys.stderr)
    known = (AGENTCG, "docker", "status")
    until(lambda: b"knows it" in subprocess.run(known, capture_output=True).stdout, "dockerd")
    with containers.container(*containers.LABEL, "--runtime", "agentcg") as box:
        yield box


def _execs(engine: containers.Box, shimmed: containers.Box, session: str) -> tuple[Arm, ...]:
    into = ("docker", "exec", engine.id)
    run = (*into, containers.ACG, "run", "--", TRUE)
    name = "docker exec"
    return (
        Arm(name, (*into, TRUE)),
        Arm(f"{name} through the shim", ("docker", "exec", shimmed.id, TRUE), base=name),
        Arm(f"{name} acg run", run, base=name, session=session),
    )


if __name__ == "__main__":
    main()
