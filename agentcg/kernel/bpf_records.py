"""The records of bpf/shared.h for Python; a test compares the two by the objects' BTF.

Memory is in pages of 4 KiB, time in nanoseconds of CLOCK_MONOTONIC, a cgroup is named by its id.
"""

import ctypes

PAGE = 4096
SECOND = 1_000_000_000

_U64, _U32, _S32 = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int32


class Policy(ctypes.Structure):
    """struct policy: a grant, keyed by the id of its cgroup."""

    _fields_ = (
        ("pool", _U64),
        ("session", _U64),
        ("free", _U64),
        ("kept", _U64),
        ("burst", _U64),
        ("refill", _U64),
        ("max_delay", _U64),
        ("priority", _S32),
        ("slots", _U32),
    )


class Pool(ctypes.Structure):
    """struct pool: what the calls share, keyed by the id of the cgroup."""

    _fields_ = (
        ("size", _U64),
        ("slack", _U64),
        ("band", _U64),
    )


class GrantRecord(ctypes.Structure):
    """struct grant: what the program `grant` is run with."""

    _fields_ = (
        ("cgroup", _U64),
        ("policy", Policy),
    )


class Tally(ctypes.Structure):
    """struct tally: what a call did."""

    _fields_ = (
        ("charges", _U64),
        ("trips", _U64),
        ("throttled", _U64),
        ("capped", _U64),
        ("longest", _U64),
        ("credit", _U64),
        ("credit_at", _U64),
        ("unused", _U64),
        ("told", _U64),
        ("full", _U64),
        ("held", _U32),
        ("refused", _U32),
    )


class Control(ctypes.Structure):
    """struct control: the daemon's word to the programs."""

    _fields_ = (
        ("heartbeat", _U64),
        ("dead_man", _U64),
    )


EVENT_THROTTLED, EVENT_STUCK = 1, 2


class Farewell(ctypes.Structure):
    """struct farewell: how the scheduler ended."""

    _fields_ = (
        ("code", ctypes.c_int64),
        ("kind", _U32),
        ("zero", _U32),
        ("reason", ctypes.c_char * 64),
        ("message", ctypes.c_char * 128),
    )


class EventRecord(ctypes.Structure):
    """struct event: a record of the ring buffer."""

    _fields_ = (
        ("at", _U64),
        ("call", _U64),
        ("usage", _U64),
        ("room", _U64),
        ("delay", _U64),
        ("kind", _U32),
        ("pid", _U32),
    )


SEEN_FORK, SEEN_EXEC, SEEN_EXIT = 1, 2, 3


class SeenRecord(ctypes.Structure):
    """struct seen: what the observer tells of a process."""

    _fields_ = (
        ("agent", _U64),
        ("start", _U64),
        ("pid", _U32),
        ("parent", _U32),
        ("what", _U32),
        ("args", _U32),
        ("env", _U32),
        ("zero", _U32),
    )


class SeenExecRecord(ctypes.Structure):
    """struct seen_exec: the same of an exec, with what it was given."""

    _fields_ = (
        ("seen", SeenRecord),
        ("args", ctypes.c_char * 2048),
        ("env", ctypes.c_char * 8192),
    )


class Watched(ctypes.Structure):
    """struct watched: a cgroup that the observer watches; 0 is all together."""

    _fields_ = (
        ("second", _U64),
        ("dropped", _U64),
        ("count", _U32),
        ("zero", _U32),
    )


TRACED_EXEC, TRACED_OPEN, TRACED_CONNECT, TRACED_OOM, TRACED_BLOCKIO = 1, 2, 3, 4, 5


class TracedRecord(ctypes.Structure):
    """struct traced: what the tracer tells."""

    _fields_ = (
        ("at", _U64),
        ("leaf", _U64),
        ("took", _U64),
        ("bytes", _U64),
        ("pid", _U32),
        ("what", _U32),
        ("result", _S32),
        ("size", _U32),
        ("comm", ctypes.c_char * 16),
        ("text", ctypes.c_char * 256),
    )


class SyscallCount(ctypes.Structure):
    """struct syscall_count: what the tracer counts of one system call."""

    _fields_ = (
        ("calls", _U64),
        ("errors", _U64),
        ("took", _U64),
    )


class GpuAccount(ctypes.Structure):
    """struct gpu_account: what the processes of a GPU lease have, keyed by its leaf's id."""

    _fields_ = (
        ("quota", _U64),
        ("used", _U64),
        ("peak", _U64),
        ("gated", _U64),
        ("killed", _U64),
        ("told", _U64),
        ("before", _U64),
        ("changes", _U64),
        ("hidden", ctypes.c_int64),
        ("notes", ctypes.c_int64),
    )


GPU_GATED, GPU_KILLED, GPU_LOST = 1, 2, 3


class GpuEventRecord(ctypes.Structure):
    """struct gpu_event: a call that did not fit."""

    _fields_ = (
        ("at", _U64),
        ("lease", _U64),
        ("size", _U64),
        ("used", _U64),
        ("quota", _U64),
        ("gate", _U64),
        ("thread", _U64),
        ("pid", _U32),
        ("kind", _U32),
        ("comm", ctypes.c_char * 16),
    )


class GpuVerdictRecord(ctypes.Structure):
    """struct gpu_verdict: what the program `decide` is run with."""

    _fields_ = (
        ("lease", _U64),
        ("quota", _U64),
        ("thread", _U64),
        ("gate", _U64),
    )


class GpuBeforeRecord(ctypes.Structure):
    """struct gpu_before: what the program `correct` is run with."""

    _fields_ = (
        ("lease", _U64),
        ("before", _U64),
    )
