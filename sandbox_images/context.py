"""The folder that the Dockerfile is built from: lists of packages, the client, the hooks.

The client lies in the image and is not taken from /run/agentcg/agent, so that a container without
that mount, or without a daemon, runs its commands all the same. What a harness's settings must say
is `agentcg.harness.wiring`'s to know.
"""

import json
import shutil
from pathlib import Path

from agentcg.cli.install import native
from agentcg.harness.wiring import WIRINGS, wired

HERE = Path(__file__).parent
CLIENT = Path("usr/local/bin/acg")


def write(folder: Path) -> None:
    """Fill an empty folder with all that `docker build` needs."""
    shutil.copy(HERE / "Dockerfile", folder)
    shutil.copytree(HERE / "packages", folder / "packages")
    client = folder / "root" / CLIENT
    client.parent.mkdir(parents=True)
    shutil.copyfile(native(), client)
    client.chmod(0o755)
    client.with_name("acg-shell").symlink_to("acg")
    for harness, where in settings().items():
        path = folder / where
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(wired({}, harness, f"/{CLIENT}"), indent=2) + "\n")


def settings() -> dict[str, Path]:
    """Where each harness's settings go: for everybody, else for the one user there is.

    A harness whose settings are a project's is not among them: there is no project yet.
    """
    return {
        harness: Path(f"root{how.managed}") if how.managed else Path("home", how.user)
        for harness, how in WIRINGS.items()
        if not how.in_project
    }
