"""What a fleet's work looks like: figures of tasks (a session in a time), and of all together."""

from dataclasses import dataclass

from agentcg.model.ids import SessionId
from agentcg.model.trace import Spread


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """One task. Bytes, seconds, and bytes a second; None: not known.

    - `seconds`: that it was read in; `in_calls`: of these, with a call open (it may be open still,
      or declared up to a day before; `calls`, CPU and retries are of closed ones in it)
    - `measured`: seconds that its memory is known of; all about memory is of these
    - `mean`: its memory over time; `peak`: the highest, between readings too
    - `bursts`: how long each stretch was in which it was above the height of a burst;
      `burst_in_calls`: how much of that with a call open
    - `rise`, `fall`: the fastest between two readings; `fast`: seconds of fast rise or fall
    - `cpu`: CPU seconds of the session, `cpu_of_calls`: of its closed calls
    - `retries`: how many calls each retry group has; `retried`: seconds in their calls
    """

    session: SessionId
    seconds: float
    in_calls: float
    calls: int
    measured: float
    mean: float | None
    peak: int | None
    bursts: tuple[float, ...]
    burst_in_calls: float
    rise: float | None
    fall: float | None
    fast: float
    cpu: float | None
    cpu_of_calls: float
    retries: tuple[int, ...]
    retried: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Calls of one class of commands; `share` is of the time in all calls."""

    kind: str
    calls: int
    seconds: float
    share: float
    wall: Spread
    peak: Spread


@dataclass(frozen=True, slots=True)
class Fleet:
    """All tasks together. Shares are of sums over all tasks; None: of nothing."""

    tasks: tuple[TaskFigures, ...]
    classes: tuple[ClassFigures, ...]
    task_seconds: Spread
    in_calls: float | None
    mean: Spread
    peak: Spread
    peak_to_mean: Spread
    burst: Spread
    tasks_with_bursts: int
    burst_in_calls: float | None
    rise: Spread
    fall: Spread
    fast: float | None
    cpu_of_calls: float | None
    tasks_with_retries: int
    retry_group: Spread
    retried: float | None
