"""pytest plugin: a test that is run once more has its whole timeout again.

pytest-timeout sets one timer around all tries of a test (pytest-rerunfailures' protocol is inside
its own). When the first try uses it up, nothing ends the second, and a run hangs for an hour.
"""

from typing import Any

import pytest

_SETTINGS = pytest.StashKey[Any]()


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Keep a test's settings; pytest-timeout then sets the timer."""
    item.stash[_SETTINGS] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Set the timer anew for a second try."""
    if getattr(item, "execution_count", 1) > 1 and _SETTINGS in item.stash:
        timer = item.config.pluginmanager.hook.pytest_timeout_set_timer
        timer(item=item, settings=item.stash[_SETTINGS])
