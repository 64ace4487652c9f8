"""C structs beside their Python copies, on an object that the compiler made."""

import ctypes
from pathlib import Path

import pytest

from tools.btf import Btf, differences

SAMPLE = Path(__file__).parents[3] / "build/bpf-tests/sample.bpf.o"


class Grown(ctypes.Structure):
    _fields_ = (("pages", ctypes.c_uint64), ("parts", ctypes.c_uint32 * 2))


class SampleEvent(ctypes.Structure):
    _fields_ = (
        ("number", ctypes.c_uint64),
        ("priority", ctypes.c_int32),
        ("flags", ctypes.c_uint8 * 3),
        ("name", ctypes.c_char * 9),
        ("grown", Grown),
    )


class Wrong(ctypes.Structure):
    _fields_ = (
        ("number", ctypes.c_uint64),
        ("priority", ctypes.c_uint32),
        ("flags", ctypes.c_uint8 * 4),
        ("label", ctypes.c_char * 8),
        ("grown", Grown),
    )


def test_a_true_copy_has_no_differences() -> None:
    assert differences(Btf(SAMPLE), "sample_event", SampleEvent) == []


def test_sign_length_name_and_place_are_told() -> None:
    found = differences(Btf(SAMPLE), "sample_event", Wrong)
    assert found == [
        "sample_event flags: 3 unsigned of 1 bytes at 12 in C, 4 unsigned of 1 bytes at 12 in"
        " Python",
        "sample_event label: None in C, 8 signed of 1 bytes at 16 in Python",
        "sample_event name: 9 signed of 1 bytes at 15 in C, None in Python",
        "sample_event priority: 1 signed of 4 bytes at 8 in C, 1 unsigned of 4 bytes at 8 in"
        " Python",
    ]


def test_a_missing_member_changes_the_size() -> None:
    class Short(ctypes.Structure):
        _fields_ = SampleEvent._fields_[:-1]

    found = differences(Btf(SAMPLE), "sample_event", Short)
    assert found[0] == "sample_event : 40 bytes in C, 24 bytes in Python"
    assert [line.split(":")[0] for line in found[1:]] == [
        "sample_event grown.pages",
        "sample_event grown.parts",
    ]


def test_no_such_struct() -> None:
    with pytest.raises(KeyError, match="nothing"):
        Btf(SAMPLE).layout("nothing")
