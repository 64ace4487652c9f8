import pytest

from tests.unit.harness.story import Story


@pytest.fixture
def story() -> Story:
    """A harness, its typed-into shell 2, and nothing else."""
    made = Story()
    made.found((1, 0, ("claude",)), TRACEPARENT="harness")
    assert made.run(2, 1, "bash", "--norc").command is None
    return made
