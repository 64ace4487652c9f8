"""What the adapters share: a model's command as a call, and what the model is told of it."""

from collections.abc import Mapping
from typing import Any

from agentcg.client.block import Block
from agentcg.errors import BadValueError
from agentcg.intent.hooked import inline_hint
from agentcg.policy.brief import worth_telling


class Asked:
    """A command that a model wrote: a hint that it begins with wins over the operator's `wish`."""

    def __init__(self, command: str, wish: Mapping[str, Any], *, tool: str) -> None:
        """Make the call of a command.

        Raises:
            BadValueError: the operator's wish does not parse.
        """
        self._complaint = ""
        try:
            self.call = Block(command, tool=tool, hint=inline_hint(command), **wish)
        except BadValueError as error:
            # What a model wrote must not stop its work: it runs without.
            self.call = Block(command, tool=tool, **wish)
            self._complaint = error.message

    def words(self) -> str:
        """What the model has to hear, once the call is over; often nothing."""
        outcome = self.call.outcome
        told = [self._complaint]
        if outcome is not None and worth_telling(outcome):
            told.append(outcome.advice)
        return "\n".join(f"agentcg: {one}" for one in told if one)
