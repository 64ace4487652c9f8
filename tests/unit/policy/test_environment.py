"""Hints for tools that start one worker per CPU."""

from agentcg.policy.environment import hints


def test_a_call_with_two_cores_is_told_to_use_two_workers() -> None:
    assert hints(2) == {
        "MAKEFLAGS": "-j2",
        "PYTEST_XDIST_AUTO_NUM_WORKERS": "2",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "CARGO_BUILD_JOBS": "2",
        "CMAKE_BUILD_PARALLEL_LEVEL": "2",
        "GOMAXPROCS": "2",
        "UV_CONCURRENT_BUILDS": "2",
    }


def test_a_call_without_a_bound_is_told_nothing() -> None:
    assert hints(None) == {}
