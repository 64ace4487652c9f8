"""Environment hints: how many workers a build or test tool should start in this call.

Most tools size themselves by the host's CPU count, which is wrong in a call that has two cores.
"""

from collections.abc import Mapping

_VARIABLES = (
    "PYTEST_XDIST_AUTO_NUM_WORKERS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CARGO_BUILD_JOBS",
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "GOMAXPROCS",
    "UV_CONCURRENT_BUILDS",
)


def hints(cores: int | None) -> Mapping[str, str]:
    """Variables for a call that may use `cores` CPUs; none where it has no such bound."""
    if cores is None:
        return {}
    return {"MAKEFLAGS": f"-j{cores}", **{name: str(cores) for name in _VARIABLES}}
