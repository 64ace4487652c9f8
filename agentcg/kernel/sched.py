"""Which of the kernel's schedulers has a thread (sched(7), Documentation/scheduler/sched-ext.rst).

A BPF scheduler in partial mode has the threads of policy SCHED_EXT, and those that they make. While
there is none, that policy is the same as SCHED_OTHER.
"""

import contextlib
import os

SCHED_EXT = 7
# Who is of a real-time policy is so for a reason.
_ORDINARY = frozenset({os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE})


def extend(tid: int) -> bool:
    """Give an ordinary thread to the BPF scheduler; whether it was not its already.

    Raises:
        PermissionError: a filter, such as systemd's RestrictRealtime, refuses the policy.
    """
    with contextlib.suppress(ProcessLookupError):
        if os.sched_getscheduler(tid) in _ORDINARY:
            os.sched_setscheduler(tid, SCHED_EXT, os.sched_param(0))
            return True
    return False
