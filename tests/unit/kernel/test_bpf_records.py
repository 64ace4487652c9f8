"""The records that Python and the BPF programs share are the same in both."""

import ctypes

import pytest

from agentcg.kernel import bpf_records as records
from agentcg.kernel.bpf_object import shipped
from tools.btf import Btf, differences


@pytest.mark.parametrize(
    ("struct", "copy"),
    [
        ("policy", records.Policy),
        ("pool", records.Pool),
        ("grant", records.GrantRecord),
        ("tally", records.Tally),
        ("control", records.Control),
        ("farewell", records.Farewell),
        ("event", records.EventRecord),
    ],
)
def test_a_record_is_the_same_in_c_and_in_python(struct: str, copy: type[ctypes.Structure]) -> None:
    assert differences(Btf(shipped("governor")), struct, copy) == []


@pytest.mark.parametrize(
    ("struct", "copy"),
    [("seen_exec", records.SeenExecRecord), ("watched", records.Watched)],
)
def test_a_record_of_the_observer_is_too(struct: str, copy: type[ctypes.Structure]) -> None:
    assert differences(Btf(shipped("observer")), struct, copy) == []


@pytest.mark.parametrize(
    ("struct", "copy"),
    [("traced", records.TracedRecord), ("syscall_count", records.SyscallCount)],
)
def test_a_record_of_the_tracer_is_too(struct: str, copy: type[ctypes.Structure]) -> None:
    assert differences(Btf(shipped("tracer")), struct, copy) == []


@pytest.mark.parametrize(
    ("struct", "copy"),
    [
        ("gpu_account", records.GpuAccount),
        ("gpu_event", records.GpuEventRecord),
        ("gpu_verdict", records.GpuVerdictRecord),
        ("gpu_before", records.GpuBeforeRecord),
    ],
)
def test_a_record_of_the_gpu_guard_is_too(struct: str, copy: type[ctypes.Structure]) -> None:
    assert differences(Btf(shipped("cuda")), struct, copy) == []
