"""A line that was typed into a shell which reads commands: all that it starts is one call.

`make && ./run; ls` starts three programs, and a hook spoke of one call. The first program is found
to be that call; the others are of it for as long as the harness has not said that it is over, nor
announced its next one, and the call goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentcg.harness.announced import Announced

if TYPE_CHECKING:
    from agentcg.harness.attribute import Command


@dataclass(slots=True)
class Reader:
    """A shell that reads commands, its subshells with it, and the announced line that it is at."""

    first: "Command | None" = None
    one: Announced | None = None

    def begin(self, first: "Command", one: Announced) -> None:
        """A line begins with this command; it may start more."""
        self.first, self.one, one.typed = first, one, True

    def line(self, runs: Callable[[str], bool]) -> "Command | None":
        """The first command of the line, if that is not over; `runs` knows the session's calls."""
        first, one = self.first, self.one
        if first is None or one is None:
            return None
        # Taken and in no call: that is being made.
        if one.typed and one.taken and not one.over and (first.call is None or runs(first.call)):
            return first
        self.first = self.one = None
        return None

    def more(self) -> None:
        """The line has started another."""
        if self.one is not None:
            self.one.more = True
