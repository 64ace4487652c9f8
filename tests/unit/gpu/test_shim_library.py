"""daemon/shim before the library that stands for the driver, in processes that load it."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.shimmed import OUT_OF_MEMORY, QUOTA, SHIM, Leased, leased
from tests.gpu.tenants import LIBRARY
from tests.root.gpu import MIB, PAIRS

# In a program that has the shim before the driver: whom the name leads to, by each of the two.
_TABLE = """
import ctypes, sys
shim, driver = map(ctypes.CDLL, sys.argv[1:])
for name in ("cuMemAlloc_v2", "cuMemCreate", "cuMemFreeAsync", "cuGetProcAddress_v2"):
    for one in (shim, driver):
        at = ctypes.c_void_p()
        plain = name.removesuffix("_v2").encode()
        one.cuGetProcAddress_v2(plain, ctypes.byref(at), 12000, ctypes.c_uint64(), None)
        own = ctypes.cast(getattr(one, name), ctypes.c_void_p)
        print(name, at.value == own.value)
"""


def test_the_driver_leads_to_itself_and_only_the_shim_to_the_shim(lease: Leased) -> None:
    words = [sys.executable, "-c", _TABLE, str(SHIM / "libcuda.so.1"), str(LIBRARY)]
    said = subprocess.run(words, env=lease.env, capture_output=True, check=True, text=True).stdout
    assert len(said.splitlines()) == 8
    assert "False" not in said


@pytest.mark.parametrize("form", ["dlsym", "proc", "proc11"])
def test_each_function_counts_and_fails_beyond_the_lease(lease: Leased, form: str) -> None:
    tenant = lease.tenant(form)
    for take, give in PAIRS:
        assert tenant.does(f"take {take} {101 * MIB}") == OUT_OF_MEMORY, take
        number = tenant.does(f"take {take} {60 * MIB}")
        assert number.isdigit(), (take, number)
        assert tenant.does(f"take {take} {60 * MIB}") == OUT_OF_MEMORY, take
        assert tenant.does(f"give {give} {number}") == "0"
        assert lease.device.used == 0
    assert tenant.does("free") == str(QUOTA)
    assert 0 < lease.device.peak <= QUOTA


def test_a_program_with_functions_of_such_names_is_led_to_the_shims(lease: Leased) -> None:
    tenant = lease.tenant("proc", LD_PRELOAD=str(LIBRARY))
    assert tenant.does(f"take cuMemAlloc_v2 {101 * MIB}") == OUT_OF_MEMORY


def test_the_lease_is_all_the_memory_there_is(lease: Leased) -> None:
    tenant = lease.tenant()
    assert [tenant.does(one) for one in ("total", "device", "free")] == [str(QUOTA)] * 3
    tenant.does(f"take cuMemAlloc_v2 {30 * MIB}")
    assert tenant.does("free") == str(70 * MIB)
    lease.resize(20 * MIB)
    said = [tenant.does(one) for one in ("total", "device", "free")]
    assert said == [str(20 * MIB), str(20 * MIB), "0"]


def test_a_lease_that_is_changed_counts_at_once(lease: Leased) -> None:
    tenant = lease.tenant()
    ask = f"take cuMemAlloc_v2 {60 * MIB}"
    assert tenant.does(ask).isdigit()
    assert tenant.does(ask) == OUT_OF_MEMORY
    lease.resize(120 * MIB)
    assert tenant.does(ask).isdigit()
    lease.resize(0)
    assert tenant.does("take cuMemAlloc_v2 1") == OUT_OF_MEMORY
    lease.path.unlink()  # the daemon is away: what it said last holds
    assert tenant.does("take cuMemAlloc_v2 1") == OUT_OF_MEMORY


def test_a_process_is_charged_its_context_once(tmp_path: Path) -> None:
    with leased(tmp_path, QUOTA, context=30 * MIB) as lease:
        one, other = lease.tenant(), lease.tenant()
        assert one.does("free") == one.does("free") == str(70 * MIB)
        assert other.does("free") == str(40 * MIB)
        assert one.does(f"take cuMemAlloc_v2 {41 * MIB}") == OUT_OF_MEMORY


def test_sizes_count_as_the_driver_rounds_them_and_do_not_overflow(lease: Leased) -> None:
    tenant = lease.tenant()
    for how, size in (("cuMemAlloc_v2", 1), ("cuMemAlloc_v2", MIB + 1), ("cuArrayCreate_v2", 4)):
        assert tenant.does(f"take {how} {size}").isdigit()
    assert tenant.does("free") == str(QUOTA - lease.device.used)
    for how in ("cuMemAlloc_v2", "cuMemAllocPitch_v2", "cuArray3DCreate_v2"):
        assert tenant.does(f"take {how} {2**64 - 1}") == OUT_OF_MEMORY
    assert tenant.does("free") == str(QUOTA - lease.device.used)


def test_what_the_driver_refuses_is_not_charged(tmp_path: Path) -> None:
    with leased(tmp_path, QUOTA, total=10 * MIB) as lease:
        tenant = lease.tenant()
        for _ in range(20):
            assert tenant.does(f"take cuMemAlloc_v2 {20 * MIB}") == OUT_OF_MEMORY
        assert tenant.does(f"take cuMemAlloc_v2 {8 * MIB}").isdigit()


def test_what_is_not_known_is_still_given_back(lease: Leased) -> None:
    tenant = lease.tenant()
    number = tenant.does(f"take cuMemAlloc_v2 {MIB}")
    assert tenant.does("give cuMemFree_v2 12345") == "error 1"
    assert tenant.does(f"give cuMemFree_v2 {number}") == "0"
    assert tenant.does(f"give cuMemFree_v2 {number}") == "error 1"
    assert tenant.does("free") == str(QUOTA)


@pytest.mark.parametrize(
    "ways",
    [
        ("unmap", "give cuMemRelease"),
        ("give cuMemRelease", "unmap"),
        ("retain", "unmap", "give cuMemRelease", "give cuMemRelease"),
    ],
)
def test_physical_memory_counts_until_the_last_of_handles_and_mappings(
    lease: Leased, ways: tuple[str, ...]
) -> None:
    tenant = lease.tenant()
    number = tenant.does(f"take cuMemCreate {MIB}")
    assert tenant.does(f"map {number} {MIB}") == "0"
    for way in ways:
        assert tenant.does("free") == str(QUOTA - MIB)
        assert tenant.does(f"{way} {number}") == "0"
    assert tenant.does("free") == str(QUOTA)
    assert lease.device.used == 0


@pytest.mark.parametrize("how", ["cuMemCreate", "host"])
def test_mappings_side_by_side_go_as_one(lease: Leased, how: str) -> None:
    tenant = lease.tenant()
    one, other = (int(tenant.does(f"take {way} {20 * MIB}")) for way in (how, "cuMemCreate"))
    assert tenant.does(f"map {one} {20 * MIB}") == "0"
    assert tenant.does(f"map {other} {20 * MIB} {one + 20 * MIB}") == "0"
    for number in (one, other):
        assert tenant.does(f"give cuMemRelease {number}") == "0"
    assert tenant.does("free") == str((60 if how == "cuMemCreate" else 80) * MIB)
    assert tenant.does(f"unmap {one} {40 * MIB}") == "0"
    assert tenant.does("free") == str(QUOTA)
    assert lease.device.used == 0


@pytest.mark.parametrize("how", ["host", "sparse", "deferred"])
def test_what_takes_no_memory_of_the_device_is_not_charged(lease: Leased, how: str) -> None:
    tenant = lease.tenant()
    assert tenant.does(f"take {how} {60 * MIB}").isdigit()
    assert tenant.does("free") == str(QUOTA)


def test_what_a_contexts_end_frees_is_not_counted_twice(lease: Leased) -> None:
    tenant = lease.tenant()
    for _ in range(3):
        assert tenant.does(f"take cuMemAlloc_v2 {40 * MIB}").isdigit()
        assert tenant.does("reset") == "0"
    assert tenant.does("free") == str(60 * MIB)


def test_threads_of_processes_never_exceed_it_together(lease: Leased) -> None:
    tenants = [lease.tenant(form) for form in ("dlsym", "proc", "dlsym")]
    for one in tenants:
        one.ask(f"churn 200 {40 * MIB}")
    assert all(int(one.answer()) > 0 for one in tenants)
    assert 0 < lease.device.peak <= QUOTA
    assert lease.device.used == 0
    for one in tenants:
        one.ask(f"threads 8 {8 * MIB}")
    assert sum(int(one.answer()) for one in tenants) == QUOTA // (8 * MIB)
    assert lease.device.peak <= QUOTA
    assert tenants[0].does("free") == str(QUOTA - lease.device.used)


def test_a_child_has_an_account_of_its_own_and_its_parent_keeps_its(lease: Leased) -> None:
    tenant = lease.tenant()
    assert tenant.does(f"take cuMemAlloc_v2 {60 * MIB}").isdigit()
    assert tenant.does(f"fork {60 * MIB}") == "1"  # it has no room for that
    assert tenant.does(f"fork {40 * MIB}") == "0"
    assert tenant.does("free") == str(40 * MIB)
    assert tenant.does(f"take cuMemAlloc_v2 {40 * MIB}").isdigit()


def test_without_a_lease_nothing_changes(lease: Leased) -> None:
    for value in ("", "/nowhere/c-1", "x"):
        tenant = lease.tenant(AGENTCG_GPU_LEASE=value)
        assert tenant.does(f"take cuMemAlloc_v2 {200 * MIB}").isdigit()
        assert tenant.does("total") == str(1 << 40)
    assert not list(Path("/dev/shm").glob("agentcg-gpu-c-1-*"))
    assert lease.accounts == []


def test_where_no_driver_is_programs_start_and_find_none(lease: Leased) -> None:
    words = (
        "import ctypes; l = ctypes.CDLL('libcuda.so.1'); p = (ctypes.c_uint64 * 2)()\n"
        "print(l.cuInit(0), l.cuMemAlloc_v2(p, 1), l.cuMemFree_v2(p), l.cuMemGetInfo_v2(p, p))"
    )
    env = lease.env | {"LD_LIBRARY_PATH": str(SHIM.parent / "shim")}
    run = subprocess.run([sys.executable, "-c", words], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert LIBRARY.exists()
    if not any(map(Path.exists, map(Path, _places()))):
        assert run.stdout == "100 100 100 100\n"


def _places() -> list[str]:
    return [f"/usr/{one}/libcuda.so.1" for one in ("lib/x86_64-linux-gnu", "lib64", "lib/wsl/lib")]


def test_no_version_of_glibc_is_asked_for() -> None:
    data = (SHIM.parent / "shim/libcuda.so.1").read_bytes()
    assert b"GLIBC_" not in data
    assert ctypes.sizeof(ctypes.c_void_p) == 8


def test_nothing_is_asked_of_the_programs_malloc() -> None:
    data = (SHIM.parent / "shim/libcuda.so.1").read_bytes()
    assert b"\0mmap\0" in data
    assert not [one for one in (b"malloc", b"calloc", b"free") if b"\0" + one + b"\0" in data]


def test_many_allocations_are_noted_and_given_back(lease: Leased) -> None:
    tenant = lease.tenant()
    for _ in range(2):
        numbers = [tenant.does("take cuMemAlloc_v2 512") for _ in range(1500)]
        assert tenant.does("free") == str(QUOTA - 1500 * 512)
        assert {tenant.does(f"give cuMemFree_v2 {one}") for one in numbers} == {"0"}
        assert tenant.does("free") == str(QUOTA)
