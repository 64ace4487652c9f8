import json
from pathlib import Path

from agentcg.api import openapi

SNAPSHOT = Path(__file__).parents[3] / "docs/reference/openapi.json"


def test_the_description_in_the_repository_is_current() -> None:
    hint = "run: python -m agentcg.api.openapi > docs/reference/openapi.json"
    assert SNAPSHOT.read_text() == openapi.text(), hint


def test_every_operation_says_how_it_fails() -> None:
    description = json.loads(openapi.text())
    for path in description["paths"].values():
        for operation in path.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "HTTPValidationError" not in openapi.text()
