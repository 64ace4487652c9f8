"""Functions of a shared library, and of files that only look like one."""

import contextlib
import os
import random
from pathlib import Path

import pytest

from agentcg.errors import BadValueError
from agentcg.kernel import elf
from tests.gpu.tenants import LIBRARY

WANTED = frozenset({"cuMemAlloc_v2", "cuMemFree_v2", "cuNothing"})


def functions(path: Path) -> dict[str, int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return elf.functions(fd, WANTED)
    finally:
        os.close(fd)


def test_what_is_exported_is_found_at_its_place() -> None:
    found = functions(LIBRARY)
    assert set(found) == {"cuMemAlloc_v2", "cuMemFree_v2"}
    assert len(set(found.values())) == 2
    assert all(0 < offset < LIBRARY.stat().st_size for offset in found.values())


def test_another_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF", b"#!/bin/sh\n" * 10, LIBRARY.read_bytes()[:200]):
        (tmp_path / "libcuda.so.1").write_bytes(content)
        with pytest.raises(BadValueError, match="no ELF64 shared library"):
            functions(tmp_path / "libcuda.so.1")


def test_a_file_that_would_take_hours_is_refused(tmp_path: Path) -> None:
    whole, path = bytearray(LIBRARY.read_bytes()), tmp_path / "libcuda.so.1"
    whole[56:58] = (65).to_bytes(2, "little")  # segments
    path.write_bytes(whole)
    with pytest.raises(BadValueError, match="65 segments"):
        functions(path)
    whole[56:58] = LIBRARY.read_bytes()[56:58]
    sections = int.from_bytes(whole[40:48], "little")
    for at in range(sections, len(whole) - 63, 64):
        whole[at + 4 : at + 8] = (11).to_bytes(4, "little")  # each is a table of symbols
    path.write_bytes(whole)
    with pytest.raises(BadValueError, match="tables of dynamic symbols"):
        functions(path)


def test_a_broken_file_ends_in_an_answer_or_a_refusal(tmp_path: Path) -> None:
    whole, chance = LIBRARY.read_bytes(), random.Random(1)
    path = tmp_path / "libcuda.so.1"
    sections = int.from_bytes(whole[40:48], "little")
    for _ in range(300):
        broken = bytearray(whole)
        for start, end in ((16, 64), (sections, len(whole))):
            for _ in range(3):
                broken[chance.randrange(start, end)] = chance.randrange(256)
        path.write_bytes(broken)
        with contextlib.suppress(BadValueError):
            functions(path)
