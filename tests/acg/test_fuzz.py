"""The whole client in one process under libFuzzer with sanitizers: fuzz.c says what an input is."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acg.client import Client, make
from tests.acg.peer import ok
from tests.acg.test_fall_through import BAD_ANSWERS
from tests.acg.test_random import random_answer
from tests.root.daemon import scale

RUNS = scale(5_000, 100_000)
SAID = [
    b"",
    b'{"hook_event_name": "PreToolUse"}',
    b"\0\xff\n",
    b"eval 'make'",
    b"x" * 5000,
    b"y" * 40_000,
]
EMPTY = b"int LLVMFuzzerTestOneInput(const char *data, long size) { return !data && size; }"
GOOD = ok(b"EA=new", b"ELD_X=1", b"EPATH=/x", b"Mmessage", b"Zx", b"X9")
RUNC = [
    b"--root\n/x\nexec\n--process\n/proc/self/fd/0\ncid",
    b"exec\n--process=/proc/self/fd/0\n--detach\ncid",
    b"exec\n-p\n/proc/self/fd/0\ncid",
    b"--log=exec\nexec\n--process=/proc/self/fd/0" + b"\nmore" * 124,
    b"--root\nexec\nexec\n--process=/proc/self/fd/0\ncid",
    b"create\n--bundle\n/x\ncid",
    b"exec\n--process=/proc/self/fd/0\n" + b"y" * 3900,
]
OPTIONS = [ok(*[b"O--cgroup=/a"] * count) for count in range(10)]
WORDS = ["HTTP/1.1 200 OK\\x0d\\x0a", "HTTP/1.1 429 ", "content-length: ", "transfer-encoding: "]
WORDS += ["\\x0aexec\\x0a", "--process=/proc/self/fd/0", "--root\\x0a", "O--cgroup=/b\\x00"]


def seeds(folder: Path, texts: Sequence[bytes]) -> None:
    """Inputs that get far, for it to change: good answers and broken ones, in every mode."""
    rng = random.Random(11)
    answers = [GOOD, ok(), *OPTIONS, b"HTTP/1.1 429 Busy\r\n\r\n", *BAD_ANSWERS.values()]
    answers += [random_answer(rng) for _ in range(200)]
    for number, answer in enumerate(answers):
        said = texts[number % len(texts)]
        how = bytes([number % 16, rng.choice([0, 1, 40]), rng.choice([1, 1, 2, 3])])
        seed = how + len(said).to_bytes(2, "big") + said + answer[:100_000]
        (folder / f"{number:03}").write_bytes(seed)


@pytest.mark.timeout(scale(60, 1200))
@pytest.mark.parametrize(("runc", "texts", "least"), [(False, SAID, 240), (True, RUNC, 200)])
def test_no_input_does_harm(
    client: Client, tmp_path: Path, runc: bool, texts: Sequence[bytes], least: int
) -> None:
    probe = ["clang-19", "-fsanitize=fuzzer", "-x", "c", "-", "-o", str(tmp_path / "probe")]
    if (
        not shutil.which(probe[0])
        or subprocess.run(probe, input=EMPTY, check=False, capture_output=True).returncode
    ):
        pytest.skip("clang-19 has no libFuzzer here: install libclang-rt-19-dev")
    make(client, "fuzz", client.hasty, 300)
    corpus, words, count = tmp_path / "corpus", tmp_path / "words", tmp_path / "count"
    corpus.mkdir()
    seeds(corpus, texts)
    words.write_text("".join(f'"{word}"\n' for word in WORDS))
    done = subprocess.run(
        [
            *(client.root / "acg-hasty-fuzz", f"-runs={RUNS}", "-seed=7", "-max_len=110000"),
            *("-len_control=0", "-timeout=20", "-close_fd_mask=3", f"-dict={words}"),
            *(f"-artifact_prefix={tmp_path}/", corpus),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ({"FUZZ_RUNC": str(count)} if runc else {}),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    # A last batch may go beyond it.
    assert int(re.findall(r"Done (\d+) runs", done.stderr)[0]) >= RUNS
    # It is worth something only if it gets beyond the answer's head: to records, words, exec.
    covered = int(re.findall(r"DONE +cov: (\d+)", done.stderr)[0])
    print(f"{RUNS} inputs, {covered} edges")
    assert covered > least
    if runc:
        # And it is of use only if the daemon's options get there.
        assert int(count.read_text()) > RUNS / 100
