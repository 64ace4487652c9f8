"""A pytest plugin that prints what each collected test covers: harness, aspect, test."""

import pytest

from tools.reference.covered import ASPECTS


def pytest_collection_finish(session: pytest.Session) -> None:
    """Print a line for each aspect of each test."""
    for item in session.items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        for mark in item.iter_markers("covers"):
            harness = mark.kwargs.get("harness") or given.get("harness")
            if harness is None:
                raise pytest.UsageError(f"{item.nodeid}: covers() needs a harness")
            for aspect in mark.args:
                if aspect not in ASPECTS:
                    raise pytest.UsageError(f"{item.nodeid}: {aspect!r} is no aspect")
                print(f"COVERS: {harness} {aspect} {item.nodeid.split('[')[0]}")
