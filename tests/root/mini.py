"""mini-swe-agent's own model by HTTP, pointed at the endpoint that MODEL_URL names."""

import os
from typing import Any

from minisweagent.models.openrouter_model import OpenRouterModel


class LocalModel(OpenRouterModel):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._api_url = os.environ["MODEL_URL"]
