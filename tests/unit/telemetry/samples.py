"""Samples to record."""

from hypothesis import strategies as st

from agentcg.model.sample import Sample, Usage

MIB = 1 << 20
_SIZE = st.none() | st.integers(0, 2**60)
# Microseconds, as the kernel counts.
_TIME = st.none() | st.integers(0, 2**50).map(lambda us: us / 1e6)
USAGES = st.builds(
    Usage,
    *(_SIZE, _SIZE, _TIME, _TIME, _SIZE, _SIZE, _SIZE, _SIZE),
    *(_TIME, _TIME, _TIME, _TIME, _SIZE, _SIZE),
)
BRIEF = st.builds(Usage, _SIZE, _SIZE)


def sample(n: int, *, at: float = 1000.0, clock: float = 50.0, peak: int = 0) -> Sample:
    """The n-th of a series, a tenth of a second apart; each tenth is a full one."""
    memory = 10 * MIB + n * 4096
    full = n % 10 == 0
    usage = Usage(memory, max(peak, memory), *((n / 100, 0.0, 3) if full else ()))
    return Sample(at + n / 10, clock + n / 10, full, usage)
