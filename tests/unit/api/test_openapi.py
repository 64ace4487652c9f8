import json
from typing import Any, cast

from agentcg.api.app import create_app
from agentcg.api.controller import Controller, Role


def operations() -> list[dict[str, Any]]:
    # No route is called.
    paths = create_app(cast(Controller, None)).openapi()["paths"]
    return [operation for path in paths.values() for operation in path.values()]


def test_every_operation_says_how_it_fails() -> None:
    for operation in operations():
        assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "HTTPValidationError" not in json.dumps(operations())


def test_every_operation_says_whom_it_serves() -> None:
    for operation in operations():
        assert operation["x-roles"]
        assert set(operation["x-roles"]) <= set(Role)
