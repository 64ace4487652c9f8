"""The `agentcg` command. Each command imports what it needs when it runs: `--help` is at once."""

import os

import typer

from agentcg.cli import (
    calls,
    characterize,
    docker,
    events,
    gpu,
    hooks,
    local,
    mcp,
    metrics,
    probe,
    run,
    sessions,
    setup,
    trace,
    ui,
)
from agentcg.cli.errors import EXIT_CODES, Group
from agentcg.cli.export import command as export
from agentcg.cli.otel import command as otel
from agentcg.cli.recording import command as recording
from agentcg.cli.replay import command as replay
from agentcg.cli.report import command as report
from agentcg.cli.top import command as top

app = typer.Typer(
    cls=Group,
    name="agentcg",
    help="Resource control for sandboxed coding agents: one cgroup per tool call.",
    epilog=f"Exit codes: {', '.join(f'{code} {means}' for code, means in EXIT_CODES.items())}. "
    "AGENTCG_SOCKET names the daemon's socket.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (
    sessions,
    calls,
    gpu,
    top,
    trace,
    report,
    characterize,
    recording,
    replay,
    probe,
    export,
    metrics,
    ui,
    otel,
    events,
    run,
    hooks,
    docker,
    mcp,
    local,
    setup,
):
    _module.register(app)


def main() -> None:
    """Run the command line."""
    if "_AGENTCG_COMPLETE" in os.environ:
        # Else only its own --install-completion makes typer know the shells.
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    app(prog_name="agentcg")
