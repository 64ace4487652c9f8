import json
import re
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


def test_patterns_are_what_generated_clients_can_read() -> None:
    # ECMA's regular expressions have no \A, \Z and \z; `$` is the very end in pydantic's too.
    described = json.dumps(create_app(cast(Controller, None)).openapi())
    assert not re.search(r"\\\\[AZz]", described)


def test_every_operation_says_whom_it_serves() -> None:
    for operation in operations():
        assert operation["x-roles"]
        assert set(operation["x-roles"]) <= set(Role)
