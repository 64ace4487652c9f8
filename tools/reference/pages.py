"""Each generated file as a function that makes its text."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import typer

from agentcg import errors
from agentcg.api import problems
from agentcg.api.app import create_app
from agentcg.api.controller import Controller, Role
from agentcg.api.metrics import Snapshot
from agentcg.cli.errors import EXIT_CODES
from agentcg.cli.main import app as cli
from agentcg.control.main import parser
from agentcg.intent.options import HINTS, JOIN, MEMORY_WORDS, OPTIONS
from agentcg.model.event import ABOUT, Event
from agentcg.model.metered import Metered
from agentcg.model.outcome import Cause
from agentcg.model.view import Check, HostView
from agentcg.model.wire import CallBody
from agentcg.policy.environment import hints
from agentcg.settings import DEFAULT_PATH, Settings
from tools.reference import schema as schemas
from tools.reference.covered import coverage
from tools.reference.markdown import code, page, table

REPO = Path(__file__).parents[2]


def pages() -> dict[Path, Callable[[], str]]:
    """Every generated file, and what makes its text."""
    home = REPO / "docs/reference"
    return {
        home / "openapi.json": openapi,
        home / "configuration.md": configuration,
        home / "cli.md": command_line,
        home / "acg.md": native_client,
        home / "http.md": http,
        home / "events.md": events,
        home / "metrics.md": metrics,
        REPO / "docs/harness/coverage.md": coverage,
        REPO / "daemon/config/agentcg.yaml": shipped,
    }


def openapi() -> str:
    """The API description as the repository keeps it."""
    return json.dumps(_api(), indent=2, sort_keys=True) + "\n"


def configuration() -> str:
    """Every key of the configuration file."""
    schema = Settings.model_json_schema()
    parts = [
        "# Configuration",
        f"One YAML file, `{DEFAULT_PATH}`; all keys are optional, unknown ones are an error. "
        "`agentcg config check` names file and line of whatever is wrong; a restart applies it. "
        "Sizes and times are numbers of bytes and seconds, or text with a unit.",
    ]
    for name, prop in schema["properties"].items():
        section = schemas.resolved(prop, schema)
        if "properties" not in section:
            parts += [f"## `{name}`", table(schemas.COLUMNS, [schemas.row(name, prop, schema)])]
            continue
        rows = list(schemas.rows(section, schema, f"{name}."))
        parts += [f"## `{name}`", section["description"], table(schemas.COLUMNS, rows)]
    return page(parts)


def shipped() -> str:
    """daemon/config/agentcg.yaml: every key at its default, commented out."""
    schema = Settings.model_json_schema()
    lines = [
        "# agentcg's configuration. Every key is shown at its default; take the '#' off to change",
        "# one. `agentcg config check` names the file and line of whatever is wrong. Restart the",
        "# daemon to apply. (generated: make reference)",
    ]
    for name, prop in schema["properties"].items():
        lines += ["", *schemas.commented(name, prop, schema)]
    return "\n".join(lines) + "\n"


def command_line() -> str:
    """The commands of `agentcg`, and the daemon's own options."""
    root = typer.main.get_command(cli)
    codes = [(str(code), means) for code, means in EXIT_CODES.items()]
    parts = [
        "# agentcg",
        str(root.help),
        "`AGENTCG_SOCKET` names the daemon's socket, `NO_COLOR` turns colours off.",
        "## Exit codes",
        table(("code", "means"), codes),
        "`agentcg run` exits as [acg](acg.md) does.",
        *_commands(root, "agentcg"),
        "## `agentcgd`",
        code(parser().format_help()),
    ]
    return page(parts)


def native_client() -> str:
    """The options of `acg`; the daemon parses them, `acg` itself only forwards."""
    source = REPO / "daemon/acg"
    usage = re.search(r"usage\[\] =(.*?);", (source / "main.c").read_text(), re.DOTALL)
    assert usage is not None
    text = "".join(re.findall(r'"(.*)"', usage[1])).replace("\\n", "\n")
    codes = re.findall(r"#define EXIT_\w+\s+(\d+)\s+/\* (.*) \*/", (source / "acg.h").read_text())
    schema = CallBody.model_json_schema()
    schema["properties"]["on_end"]["default"] = "kill"  # as parse_run() has it
    rows = [(f"`--{name}`", *schemas.of_path(path, schema)) for name, path in OPTIONS.items()]
    join = "Another call's id: the command becomes a process of that call, which must run."
    rows.append((f"`--{JOIN}`", "string, and no other option", "", join))
    words = ", ".join(f"`{word}` is {size or 'the default'}" for word, size in MEMORY_WORDS.items())
    parts = [
        "# acg",
        code(text),
        "`--name value` or `--name=value`, before `--`. What is asked for above the session's "
        "budget is cut, and a line on stderr says so.",
        table(("option", "value", "default", "meaning"), rows),
        "## `AGENT_RESOURCE_HINT`",
        "The same as a variable, `name:value` joined by commas; options win. Names: "
        f"{', '.join(f'`{name}`' for name in HINTS)}. As a value of `memory`, {words}.",
        "## Set for the command",
        "`AGENTCG_CALL`, the call's id. With `--cores`, the number of cores: "
        f"{', '.join(f'`{name}`' for name in hints(1))}.",
        "## Exit status",
        "The command's own; of `acg` itself:",
        table(("status", "means"), codes),
    ]
    return page(parts)


def http() -> str:
    """Endpoints, who may call them, their bodies, and the types of problems."""
    api = _api()
    rows: list[tuple[str, ...]] = []
    bodies: list[str] = []
    for path, operations in api["paths"].items():
        for method, one in operations.items():
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {})
            names = re.findall(r"\w+Body", json.dumps(body))
            link = f"[{names[0]}](#{names[0].lower()})" if names else ""
            bodies += names
            roles = "anyone" if len(one["x-roles"]) == len(Role) else ", ".join(one["x-roles"])
            rows.append((f"`{method.upper()} {path}`", one["description"], link, roles))
    parts = [
        "# HTTP",
        "JSON over two Unix sockets, `/run/agentcg/admin.sock` and `/run/agentcg/agent/sock`; "
        "[openapi.json](openapi.json) is the contract. `self` stands for the caller's own session. "
        "[The web view](../web.md) has some of it to read, on loopback.",
        table(("request", "what it does", "body", "serves"), rows),
        "## Roles",
        inspect.cleandoc(Role.__doc__ or ""),
        "Objects of others do not exist for a caller: 404.",
        "## Bodies",
    ]
    for name in (*dict.fromkeys(bodies), "MemoryBody", "CpuBody", "GpuBody", "BudgetBody"):
        schema = api["components"]["schemas"][name]
        parts += [
            f"### {name}",
            schema["description"],
            table(schemas.COLUMNS, schemas.fields(schema, api)),
        ]
    parts += [
        "## Problems",
        f"`{problems.MEDIA_TYPE}` (RFC 9457): `type` is `{problems.URN}` and the word below, "
        "`detail` names the value and the remedy; a refused body has one of `errors` per field.",
        table(("type", "status", "means"), sorted(_problems())),
    ]
    return page(parts)


def events() -> str:
    """The kinds of events and their data."""
    kinds = [
        (
            f"`{kind.value}`",
            about.means,
            "; ".join(f"`{key}`: {means}" for key, means in about.data.items()),
        )
        for kind, about in ABOUT.items()
    ]
    members = ", ".join(f"`{one.name}`" for one in fields(Event))
    parts = [
        "# Events",
        "`GET /v1/events` (server-sent events), `agentcg events -f`. Each is an object with "
        f"{members}. {inspect.cleandoc(Event.__doc__ or '')}",
        table(("kind", "means", "data"), kinds),
    ]
    return page(parts)


def metrics() -> str:
    """What a scrape of /metrics holds."""
    host = HostView("", "", "", 0, 0, (Check("", works=True, detail=""),), {"": 0})
    rows = []
    some = Metered("", 0, 0, 0, ended={Cause.OOM: 0})
    for family in Snapshot(host, (), (some,)).collect():
        sample = family.samples[0]
        labels = ", ".join(f"`{label}`" for label in sample.labels)
        rows.append((f"`{sample.name}`", family.type, labels, family.documentation))
    parts = [
        "# Metrics",
        "`GET /metrics` on the admin socket, in Prometheus' text format; "
        "`agentcg metrics` prints it.",
        "Series of a session are there from its opening, counters at 0, until it is closed. Beyond "
        '`metrics.sessions` sessions the others are summed under `session="other"`, with those of '
        "them that are closed, so that the sum is a counter too. No series is of a call.",
        table(("name", "type", "labels", "means"), rows),
    ]
    return page(parts)


def _commands(command: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - typer's own click
    for name, one in command.commands.items():
        words = f"{path} {name}"
        if hasattr(one, "commands"):
            yield from _commands(one, words)
            if not one.invoke_without_command:
                continue
        context = one.context_class(one, info_name=words)
        yield f"## `{' '.join([words, *one.collect_usage_pieces(context)])}`"
        yield re.sub(r"\s+", " ", one.help)
        records = [param.get_help_record(context) for param in one.params]
        found = [(f"`{record[0]}`", record[1]) for record in records if record]
        if found:
            yield table(("option", "meaning"), found)


def _problems() -> Iterator[tuple[str, ...]]:
    for status, (slug, remedy) in problems.FRAMEWORK.items():
        yield (f"`{slug}`", str(status), remedy[0].upper() + remedy[1:] + ".")
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, errors.AgentcgError):
            means = (one.__doc__ or "").splitlines()[0]
            yield (f"`{one.slug}`", str(one.status), means)


def _api() -> dict[str, Any]:
    # No route is called, so there is nothing for a controller to do.
    return create_app(cast(Controller, None)).openapi()
