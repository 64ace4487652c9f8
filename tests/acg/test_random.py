"""Answers at random, on a build with sanitizers, against a second reading of the protocol."""

from __future__ import annotations

import random
import re
import subprocess

import pytest

from tests.acg.client import Client, make
from tests.acg.peer import ok, records, serving

RUNS = 300
TEXTS = [b"EA=1", b"ELD_X=1", b"E=", b"M", b"Mx", b"Z", b"X3", b"X77", b"X255", b"X0"]


def expected(answer: bytes) -> int:
    """The exit status of `acg run -- false` (1) by a reading of the protocol of its own."""
    ran = 1
    head, found, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if (
        not found
        or len(head) + 4 > 8192
        or not re.fullmatch(rb"HTTP/1\.[01] 200( .*)?", lines[0], re.DOTALL)
    ):
        return ran
    fields = [re.fullmatch(rb"([!-9;-~]+):(.*)", line, re.DOTALL) for line in lines[1:]]
    names = {}
    for match in fields:
        if not match or (match[1].lower() == b"content-length" and b"content-length" in names):
            return ran
        names[match[1].lower()] = match[2].strip(b" \t")
    length = names.get(b"content-length", b"%d" % len(body))
    if b"transfer-encoding" in names or not re.fullmatch(rb"[0-9]+", length):
        return ran
    if int(length) > min(len(body), 65536):
        return ran
    return expected_of_records(body[: int(length)])


def expected_of_records(body: bytes) -> int:
    if not re.fullmatch(rb"([^\0]+\0)*", body):
        return 1
    exits = [text[1:] for text in body.split(b"\0") if text[:1] == b"X"]
    if any(not re.fullmatch(rb"[0-9]{1,3}", text) or int(text) > 255 for text in exits):
        return 1
    return int(exits[0]) if exits else 1


def random_answer(rng: random.Random) -> bytes:
    """A good answer with a few faults, so that most reach beyond the first check."""
    texts = [
        rng.choice(TEXTS) if rng.random() < 0.95 else b"X256" for _ in range(rng.randrange(1, 4))
    ]
    texts.append(bytes([rng.choice(b"EMZ\xff")]) + rng.randbytes(3).replace(b"\0", b"0"))
    sized = rng.random() < 0.7
    answer = bytearray(ok(*texts) if sized else b"HTTP/1.1 200 OK\r\n\r\n" + records(*texts))
    for _ in range(rng.choice([0, 0, 1, 1, 3])):
        at = rng.randrange(len(answer) + 1)
        fault = rng.randrange(5)
        if fault == 0:
            answer[at : at + 1] = rng.randbytes(1)
        elif fault == 1:
            answer[at:at] = rng.choice([b"\r\n", b"\0", b": ", b"x" * 9000, rng.randbytes(3)])
        elif fault == 2:
            del answer[at : at + rng.randrange(1, 6)]
        elif fault == 3:
            answer[at : at + 1] = bytes([rng.choice(b"0123456789X")])
        else:
            del answer[at:]
    return bytes(answer)


def test_random_answers(client: Client) -> None:
    probe = client.root / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    flags = ("-fsanitize=address,undefined", "-o", client.root / "probe")
    if subprocess.run(["gcc", probe, *flags], check=False, capture_output=True).returncode:
        pytest.skip("gcc has no AddressSanitizer here")
    make(client, "asan", client.hasty, 300)
    rng = random.Random(20240)
    answers = [random_answer(rng) for _ in range(RUNS)]
    statuses = []
    with serving(client.sock, answers):
        for answer in answers:
            done = client.run("run", "--", "/bin/false", program=client.asan)
            assert b"Sanitizer" not in done.stderr, (answer, done.stderr)
            assert b"runtime error" not in done.stderr, (answer, done.stderr)
            assert done.returncode == expected(answer), answer
            statuses.append(done.returncode)
    # The test is worth something only if both outcomes are common.
    assert RUNS * 0.2 < statuses.count(1) < RUNS * 0.8
