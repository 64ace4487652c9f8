"""The documents hold together: links lead somewhere, and command lines parse."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from agentcg.cli.main import app
from agentcg.intent.options import joined, parse_run

REPO = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in {*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("*/*/*.md")}
    if "build" not in path.parts and ".venv" not in path.parts
)
# An indented or fenced line, or a span of code.
_CODE = re.compile(r"^ {4,}(.+)$|`([^`\n]+)`", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|[\s(/])((?:agentcg [a-z-]|acg (?:run |pause|-)).*)")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each `agentcg ...` and `acg ...` that a page shows."""
    for groups in _CODE.findall(page.read_text()):
        line = "".join(groups).partition("  #")[0]
        found = _COMMAND.search(line)
        if found is not None and "[" not in found[1]:
            yield shlex.split(found[1], comments=True)


def parse(words: list[str]) -> None:
    """Parse a command line as its program would, and do nothing."""
    program, *rest = words
    if program == "acg":
        if rest[0] == "run":
            dashes = rest.index("--") if "--" in rest else len(rest)
            if joined(rest[1:dashes]) is None:
                parse_run(rest[1:dashes], rest[dashes + 1 :], None)
        else:
            assert rest in (["pause"], ["--version"])
        return
    command = typer.main.get_command(app)
    name = program
    while hasattr(command, "commands"):
        alone = getattr(command, "invoke_without_command", False)
        if alone and (not rest or rest[0].startswith("-")):
            break
        name = rest.pop(0)
        command = command.commands[name]
    command.make_context(name, rest)


SHOWN = {shlex.join(words): words for page in PAGES for words in commands(page)}


@pytest.mark.parametrize("words", SHOWN.values(), ids=SHOWN.keys())
def test_command_lines_parse(words: list[str]) -> None:
    parse(["1" if word == "PID" else word for word in words])


def test_the_examples_were_found() -> None:
    assert "agentcg open --runtime bare --id demo --memory 1GiB -- bash" in SHOWN
    assert "acg run --memory 1GiB -- make test" in SHOWN


@pytest.mark.parametrize("line", ["agentcg open --no-such 5", "agentcg nothing", "acg run --x 1"])
def test_a_line_that_does_not_parse_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"No such|no-such|nothing|not known"):
        parse(shlex.split(line))
