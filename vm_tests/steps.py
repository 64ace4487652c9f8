"""What a person sees while the harness works, and the commands that it runs."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vm_tests import cache
from vm_tests.errors import HarnessError

_LOG_TAIL_LINES = 25


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)


@contextmanager
def step(name: str, doing: str) -> Iterator[Path]:
    """Announce a step, time it and give it a log file."""
    log = cache.logs() / f"{name}.log"
    last = cache.duration(name)
    took = "first time" if last is None else f"last time {last:.0f} s"
    say(f"==> {doing} ({took}; log: {log})")
    log.write_bytes(b"")
    begin = time.monotonic()
    yield log
    seconds = time.monotonic() - begin
    cache.remember_duration(name, seconds)
    print(f"    done in {seconds:.1f} s", flush=True)


def run(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path(),
) -> None:
    """Run a command with its output in the log; HarnessError with the log's tail if it fails."""
    with log.open("ab") as file:
        file.write(f"+ {' '.join(map(str, argv))}\n".encode())
        file.flush()
        status = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env, cwd=cwd, check=False
        ).returncode
    if status:
        raise HarnessError(f"{argv[0]} failed with status {status}; the end of {log}:\n{tail(log)}")


def tail(path: Path) -> str:
    """Return a log's last lines, indented."""
    lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)
