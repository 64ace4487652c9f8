"""Command line: `python -m sandbox_images build | rootfs | context`."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from agentcg.errors import AgentcgError
from sandbox_images import build, context, rootfs
from vm_tests import host
from vm_tests.errors import HarnessError


def main() -> int:
    """Parse the command line and run the command."""
    args = _parser().parse_args()
    try:
        _run(args)
    except (AgentcgError, HarnessError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(args: argparse.Namespace) -> None:
    if args.command == "context":
        args.folder.mkdir(parents=True)
        context.write(args.folder)
    elif args.command == "rootfs":
        host.check()
        rootfs.put(args.names or build.IMAGES, args.folder)
    elif shutil.which("docker"):
        build.build(args.names or build.IMAGES, args.rootfs)
    else:
        raise HarnessError("no docker command: apt-get install docker.io, or a client of another's")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox_images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, doing in (
        ("build", "build images as agentcg/NAME by the local engine"),
        ("rootfs", "make NAME.tar, by which images are built without a registry (as root)"),
        ("context", "fill a new folder with what the Dockerfile needs, for a builder of your own"),
    ):
        command = commands.add_parser(name, help=doing, description=doing)
        if name == "build":
            command.add_argument("--rootfs", type=Path, metavar="FOLDER", help="with NAME.tar")
        else:
            command.add_argument("folder", type=Path)
        if name != "context":
            command.add_argument("names", nargs="*", type=_image, metavar="NAME")
    return parser


def _image(name: str) -> str:
    if name not in build.IMAGES:
        raise argparse.ArgumentTypeError(f"no image {name!r}: choose of {', '.join(build.IMAGES)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
