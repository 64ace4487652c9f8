"""What the fake controller knows of calls' evidence."""

from collections.abc import Sequence

from agentcg.api.controller import Caller
from agentcg.errors import NotFoundError
from agentcg.model.call import Call
from agentcg.model.explanation import Explanation
from agentcg.model.ids import CallId
from agentcg.model.trace import Window
from agentcg.model.view import CallView
from agentcg.policy.explaining import Evidence
from agentcg.policy.explaining import explanation as evidence_of


class Explained:
    """Explanations from the record alone, where a test gives no evidence."""

    views: dict[CallId, CallView]
    evidence = Evidence((), ())

    async def explanation(self, caller: Caller, call: CallId) -> Explanation:
        if call not in self.views:
            raise NotFoundError(f"call {call!r}: no such call")
        return evidence_of(self.views[call].call, self.evidence)

    async def lived(self, _: Caller, window: Window) -> Sequence[Call]:
        return [view.call for view in self.views.values()][: window.points]
