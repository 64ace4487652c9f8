"""From errors to stable exit codes and one line on stderr."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from agentcg.cli.render import escape
from agentcg.errors import AgentcgError, BadValueError, DeniedError, UnavailableError

FAILED, USAGE, UNREACHABLE, DENIED, INTERRUPTED = 1, 2, 3, 4, 130
EXIT_CODES = {
    0: "done",
    FAILED: "failed",
    USAGE: "wrong usage",
    UNREACHABLE: "no daemon answers",
    DENIED: "not permitted",
    INTERRUPTED: "interrupted",
}


class Group(TyperGroup):
    """The top of the command line; what a command raises on purpose ends here."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AgentcgError as error:
            for line in error.message.splitlines():
                print(f"agentcg: {escape(line)}", file=sys.stderr)  # noqa: T201
            raise typer.Exit(code_of(error)) from error
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def code_of(error: AgentcgError) -> int:
    """The exit code that stands for an error."""
    match error:
        case UnavailableError():
            return UNREACHABLE
        case DeniedError():
            return DENIED
        case BadValueError():
            return USAGE
        case _:
            return FAILED
