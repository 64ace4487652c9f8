"""What is generated is current, and complete."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from agentcg.intent.options import HINTS, OPTIONS
from agentcg.model.rule import DockerRule
from agentcg.model.wire import CallBody
from agentcg.settings import Section, Settings
from tools.reference.pages import pages


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_file_in_the_repository_is_current(path: Path) -> None:
    assert path.read_text() == pages()[path](), "run: make reference"


def test_nothing_lies_beside_the_generated_pages() -> None:
    found = {path for path in pages() if "reference" in path.parts}
    home = next(iter(found)).parent
    assert set(home.iterdir()) == found


def described(section: type[BaseModel], prefix: str = "") -> list[str]:
    """The keys that say nothing of themselves."""
    missing = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            missing += described(kind, f"{prefix}{name}.")
        elif not field.description:
            missing.append(prefix + name)
    return missing


def test_every_key_of_the_configuration_is_described() -> None:
    assert described(Settings) + described(DockerRule) == []


def test_every_option_of_acg_run_is_described() -> None:
    schema = CallBody.model_json_schema()
    for path in [*OPTIONS.values(), *HINTS.values()]:
        place = schema
        for step in path[:-1]:
            found = place["properties"][step]
            name = next(iter(found.get("anyOf", [found])))["$ref"].rpartition("/")[2]
            place = schema["$defs"][name]
        assert place["properties"][path[-1]]["description"], path
