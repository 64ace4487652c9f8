"""The account that the processes of a call have together: daemon/shim/slots.c and account.c."""

import fcntl
import os
import signal
import struct
import time
from pathlib import Path

import pytest

from tests.gpu.shimmed import OUT_OF_MEMORY, QUOTA, Leased
from tests.root.daemon import until
from tests.root.gpu import MIB


def test_who_was_killed_is_charged_nothing(lease: Leased) -> None:
    one, other = lease.tenant(), lease.tenant()
    for _ in range(2):
        assert one.does(f"take cuMemAlloc_v2 {50 * MIB}").isdigit()
    assert other.does("take cuMemAlloc_v2 1") == OUT_OF_MEMORY
    one.process.kill()
    one.process.wait(30)
    until(lambda: other.does(f"take cuMemAlloc_v2 {100 * MIB}").isdigit(), "its memory to be free")


def test_a_child_does_not_keep_what_its_parent_was_charged(lease: Leased) -> None:
    tenant, other = lease.tenant(), lease.tenant()
    assert tenant.does(f"take cuMemAlloc_v2 {60 * MIB}").isdigit()
    child = int(tenant.does("linger"))
    tenant.process.kill()
    tenant.process.wait(30)
    # The child hears of its birth a little later than its parent.
    until(lambda: other.does(f"take cuMemAlloc_v2 {60 * MIB}").isdigit(), "its memory to be free")
    os.kill(child, signal.SIGKILL)


def test_one_process_at_a_time_adds_up_and_nobody_waits_for_ever(lease: Leased) -> None:
    tenant = lease.tenant()
    assert tenant.does("free") == str(QUOTA)
    (account,) = lease.accounts
    ask = f"take cuMemAlloc_v2 {60 * MIB}"
    with account.open("rb+") as file:
        adding = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, adding)
        begun = time.monotonic()
        assert tenant.does(ask).isdigit()
        assert time.monotonic() - begun > 1
        # It is held by itself.
        assert tenant.does(ask) == OUT_OF_MEMORY
        assert tenant.does("free") == str(40 * MIB)
        assert tenant.does(f"fork {MIB}") == "0"
        other = lease.tenant()
        assert other.does(ask).isdigit()
    assert other.does("free") == "0"
    assert tenant.does(f"take cuMemAlloc_v2 {MIB}") == OUT_OF_MEMORY


def test_a_program_that_closes_what_it_does_not_know_keeps_its_account(lease: Leased) -> None:
    tenant, other = lease.tenant(), lease.tenant()
    assert tenant.does(f"take cuMemAlloc_v2 {60 * MIB}").isdigit()
    assert tenant.does("close") == "0"
    assert tenant.does("free") == str(40 * MIB)
    assert other.does(f"take cuMemAlloc_v2 {60 * MIB}") == OUT_OF_MEMORY
    assert tenant.does("free") == str(40 * MIB)


def test_the_last_to_end_takes_the_account_along(lease: Leased) -> None:
    one, other = lease.tenant(), lease.tenant()
    assert [tenant.does("free") for tenant in (one, other)] == [str(QUOTA)] * 2
    one.process.communicate(timeout=30)
    assert len(lease.accounts) == 1
    assert other.does(f"fork {60 * MIB}") == "0"
    assert other.does("free") == str(QUOTA)
    assert len(lease.accounts) == 1
    other.process.communicate(timeout=30)
    assert lease.accounts == []


def test_of_several_that_end_together_one_is_the_last(lease: Leased) -> None:
    tenants = [lease.tenant() for _ in range(3)]
    assert [one.does("free") for one in tenants] == [str(QUOTA)] * 3
    for one in tenants:
        one.ask("end")
    for one in tenants:
        one.process.wait(30)
    assert lease.accounts == []


def test_a_thread_that_is_cancelled_ends_before_or_after(lease: Leased) -> None:
    tenant = lease.tenant()
    assert tenant.does(f"cancelled {MIB}").isdigit()
    assert tenant.does("free") == str(99 * MIB)


def test_who_has_closed_it_keeps_its_slot_by_its_mapping(lease: Leased) -> None:
    tenant, other = lease.tenant(), lease.tenant()
    assert tenant.does(f"take cuMemAlloc_v2 {50 * MIB}").isdigit()
    number = tenant.does(f"take cuMemAlloc_v2 {10 * MIB}")
    assert tenant.does("close") == "0"
    assert other.does("free") == str(40 * MIB)
    assert tenant.does(f"give cuMemFree_v2 {number}") == "0"
    assert other.does("free") == str(40 * MIB)
    assert tenant.does("free") == str(50 * MIB)
    assert other.does("free") == str(50 * MIB)


def test_an_account_that_was_cut_kills_nobody_and_is_made_whole(lease: Leased) -> None:
    tenant, other = lease.tenant(), lease.tenant()
    number = tenant.does(f"take cuMemAlloc_v2 {20 * MIB}")
    (account,) = lease.accounts
    for line in (f"give cuMemFree_v2 {number}", f"take cuMemAlloc_v2 {60 * MIB}", "free"):
        os.truncate(account, 0)
        assert tenant.does(line).isdigit()
    assert other.does("free") == str(40 * MIB)


@pytest.mark.parametrize("other", ["folder", "link", "readable", "removed"])
def test_an_account_of_others_is_not_used(lease: Leased, tmp_path: Path, other: str) -> None:
    path = Path(f"/dev/shm/agentcg-gpu-{lease.path.name}-{os.geteuid()}")
    target = tmp_path / "target"
    if other == "folder":
        path.mkdir()
    elif other == "link":
        path.symlink_to(target)
    elif other == "readable":
        path.touch(0o644)
    tenant = lease.tenant()
    assert tenant.does(f"take cuMemAlloc_v2 {60 * MIB}").isdigit()
    if other == "removed":
        path.unlink()
    assert tenant.does(f"take cuMemAlloc_v2 {60 * MIB}") == OUT_OF_MEMORY  # it is held by itself
    assert not target.exists()
    if path.is_dir():
        path.rmdir()
