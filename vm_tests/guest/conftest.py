"""What holds for every test in the machine."""

from collections.abc import Iterator

import pytest

from vm_tests.guest.test_platform import cgroup_mount_options


@pytest.fixture(scope="session", autouse=True)
def _mount_options_stay() -> Iterator[None]:
    """A careless remount of cgroup2 changes the whole host's rules: nothing may do it."""
    before = cgroup_mount_options()
    yield
    assert cgroup_mount_options() == before
