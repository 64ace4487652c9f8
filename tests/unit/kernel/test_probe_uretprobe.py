"""The child that calls a function under a filter, and what its end means."""

import os
import re
import signal

import pytest

from agentcg.kernel import probe_uretprobe as probe

EXIT_GROUP = 231  # which each process makes
native = pytest.mark.skipif(os.uname().machine != "x86_64", reason="its code is of x86-64")


@native
def test_the_filter_kills_on_the_one_call_and_no_other() -> None:
    with probe.function() as fd:
        assert probe.called(fd, probe.URETPROBE) == (0, "")
        assert probe.called(fd, EXIT_GROUP) == (-signal.SIGSYS, "")


@native
def test_a_child_that_does_not_end_is_not_waited_for() -> None:
    loop = bytes.fromhex("eb fe")
    with probe.function(loop) as fd:
        assert probe.called(fd, probe.URETPROBE, within=0.5) == (None, "")


def test_a_child_that_fails_says_why() -> None:
    folder = os.open("/", os.O_RDONLY)
    try:
        assert probe.called(folder, probe.URETPROBE) == (1, "mmap: No such device")
    finally:
        os.close(folder)


@pytest.mark.parametrize(
    ("status", "said", "ran", "reason"),
    [
        (-signal.SIGSYS, "", False, "kill programs with a seccomp filter; Linux 6.14"),
        (-signal.SIGSEGV, "", True, "is not known: .* killed by signal 11"),
        (None, "", True, "is not known: .* did not end in time"),
        (1, "mmap: no", False, "is not known: .* failed: mmap: no"),
        (1, "", False, "is not known: .* failed: status 1"),
        (0, "", False, "is not known: .* the probe did not run"),
    ],
)
def test_each_end_but_a_good_one_is_a_reason(
    status: int | None, said: str, ran: bool, reason: str
) -> None:
    assert re.search(reason, probe.judged(status, said, ran=ran) or "")
    assert probe.judged(0, "", ran=True) is None
