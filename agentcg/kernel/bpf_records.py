"""The records of bpf/shared.h for Python; a test compares the two by the objects' BTF.

Memory is in pages of 4 KiB, time in nanoseconds of CLOCK_MONOTONIC, a cgroup is named by its id.
"""

import ctypes

PAGE = 4096
SECOND = 1_000_000_000

_U64, _U32, _S32 = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int32


class Policy(ctypes.Structure):
    """struct policy: one call's grant, keyed by the id of the call's cgroup."""

    _fields_ = (
        ("pool", _U64),
        ("guarantee", _U64),
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


class Member(ctypes.Structure):
    """struct member: which call a cgroup belongs to, and how many levels above it the pool is."""

    _fields_ = (
        ("call", _U64),
        ("up", _U32),
        ("zero", _U32),
    )


class Tally(ctypes.Structure):
    """struct tally: what a call did."""

    _fields_ = (
        ("charges", _U64),
        ("trips", _U64),
        ("throttled", _U64),
        ("longest", _U64),
        ("credit", _U64),
        ("credit_at", _U64),
        ("unused", _U64),
        ("told", _U64),
        ("held", _U32),
        ("refused", _U32),
    )


class Control(ctypes.Structure):
    """struct control: the daemon's word to the programs."""

    _fields_ = (
        ("heartbeat", _U64),
        ("dead_man", _U64),
    )


class ThrottledEvent(ctypes.Structure):
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
