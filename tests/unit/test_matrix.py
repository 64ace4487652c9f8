"""Kernels side by side: told apart in what is shown, and the answers in their order."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
SCRIPT = """
import subprocess, sys, time
from pathlib import Path
from vm_tests import host, matrix
from vm_tests.kernels import Boot
from vm_tests.suite import Result

def one(boot):
    print("begins", flush=True)
    while boot.name == "7.2" and not Path(sys.argv[2]).exists():
        time.sleep(0.01)  # for the other, which would never come after it
    Path(sys.argv[2]).touch()
    subprocess.run(["sh", "-c", "echo out; echo err >&2"], check=True)
    return Result(boot, 0, boot.release)

host.bears = lambda machines: machines <= int(sys.argv[1])
boots = [Boot(n, f"{n}.1-cloud", Path(), False) for n in sys.argv[3:]]
print(*(r.summary for r in matrix.run(boots, one)))
"""


def ran(room: int, flag: Path, *kernels: str) -> list[str]:
    words = [sys.executable, "-c", SCRIPT, str(room), str(flag), *kernels]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_side_by_side_each_line_has_its_kernel(tmp_path: Path) -> None:
    *lines, last = ran(2, tmp_path / "flag", "7.2", "6.12")
    said = ("begins", "out", "err")
    assert sorted(lines) == sorted(
        f"{name:>4} | {word}" for name in ("7.2", "6.12") for word in said
    )
    assert last == "7.2.1-cloud 6.12.1-cloud"


def test_one_after_the_other_where_there_is_no_room(tmp_path: Path) -> None:
    *lines, last = ran(1, tmp_path / "flag", "6.12", "5.9")
    assert lines == ["begins", "out"] * 2
    assert last == "6.12.1-cloud 5.9.1-cloud"
