"""The lock that others see, and that nobody can take away."""

import subprocess
import sys
from pathlib import Path

from agentcg.kernel import lifeline

HOLD = (
    "import fcntl, sys\nf = open(sys.argv[1], 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\n"
    "print(flush=True)\ninput()"
)
FREE = "import fcntl,sys\nfcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def free(path: Path) -> bool:
    """Whether another process could have it."""
    words = [sys.executable, "-c", FREE, str(path)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_it_is_held_for_as_long_as_the_block(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    with lifeline.held(path):
        assert path.stat().st_mode & 0o777 == 0o644
        assert not free(path)
    assert free(path)
    assert [one.name for one in tmp_path.iterdir()] == ["alive"]


def test_who_holds_an_earlier_file_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    path.touch()
    words = (
        "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint()\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", words, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with lifeline.held(path):
            assert not free(path)
        other.kill()
