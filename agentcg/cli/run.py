"""`agentcg run`: becomes the native client, which places itself and then becomes the command."""

import os
from typing import Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from agentcg import native


class Verbatim(TyperCommand):
    """A command whose words are all passed on, `--` included."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args in (["-h"], ["--help"]):
            rest: list[str] = super().parse_args(ctx, args)
            return rest
        super().parse_args(ctx, [])
        ctx.args = list(args)
        return list(args)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Verbatim, options_metavar="[INTENT]... -- COMMAND...")(run)


def run(ctx: typer.Context) -> None:
    """Run a command as a call of the session that this process is in.

    What comes before -- is the intent, such as --memory 2g; the daemon reads it.
    """
    program = native.acg()
    os.execv(program, [str(program), "run", *ctx.args])  # noqa: S606 - that is the purpose
