"""What a call costs under the installed daemon, beside systemd-run and docker exec.

`make bench-calls VM=1` runs it in the machine. favordynmods is host-wide and only a reboot undoes
it, so it comes last.
"""

import os
from pathlib import Path

from agentcg.kernel.mountinfo import set_favordynmods
from tests.bench.arms import TRUE, Arm, Site, compare, moves, plain
from vm_tests.guest import containers
from vm_tests.guest.sandbox import sandbox

RUNS = int(os.environ.get("RUNS", "200"))
DOCKER = int(os.environ.get("DOCKER", "100"))
ACG = Path("/usr/local/bin/acg")
GAP = 0.1


def main() -> None:
    """Run every arm and print the figures, without and with favordynmods."""
    with (
        sandbox("bench") as box,
        containers.container("--label", "agentcg.session") as engine,
    ):
        session = containers.session_of(box.client, engine)
        site = Site(box.client, box.path)
        _processes(site)
        compare(site, _execs(engine, session.id), DOCKER, gap=0.0)
        set_favordynmods(containers.CGROUP)
        _processes(Site(box.client, box.path, ", favordynmods"))


def _processes(site: Site) -> None:
    scope = ("systemd-run", "--quiet", "--collect", "--scope", "--", TRUE)
    arms = (*plain(ACG, "bench"), Arm("systemd-run --scope", scope, base="bare"))
    for gap in (0.0, GAP):
        compare(site, arms, RUNS, gap=gap)
        moves(site, RUNS, gap=gap)


def _execs(engine: containers.Box, session: str) -> tuple[Arm, ...]:
    into = ("docker", "exec", engine.id)
    run = (*into, containers.ACG, "run", "--", TRUE)
    name = "docker exec"
    return Arm(name, (*into, TRUE)), Arm(f"{name} acg run", run, base=name, session=session)


if __name__ == "__main__":
    main()
