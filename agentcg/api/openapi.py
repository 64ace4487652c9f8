"""Prints the API description: `python -m agentcg.api.openapi > docs/reference/openapi.json`."""

import json
import sys
from typing import cast

from agentcg.api.app import create_app
from agentcg.api.controller import Controller


def text() -> str:
    """The description as the repository keeps it."""
    # No route is called, so there is nothing for a controller to do.
    app = create_app(cast(Controller, None))
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
