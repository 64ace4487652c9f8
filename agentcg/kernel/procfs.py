"""/proc/PID and the host's own files in /proc (Documentation/filesystems/proc.rst).

A pid may be reused between two calls here: hold a pidfd and check it afterwards where that matters.
"""

import os
from pathlib import Path
from typing import Literal

from agentcg.errors import BadValueError, DeniedError, ProcessGoneError, UnsupportedError

PROC = Path("/proc")
_INITIAL_PIDS = 0xEFFFFFFC  # PROC_PID_INIT_INO, the inode of the initial pid namespace

# Positions in /proc/PID/stat counted after the parenthesised name, which may itself hold
# blanks and parentheses; field numbers of proc_pid_stat(5) minus 3.
_STATE, _PPID, _THREADS, _START_TIME, _EXIT_CODE = 0, 1, 17, 19, 49


def start_time(pid: int) -> int:
    """Return the clock tick since boot of the start; with the pid it names a process for good."""
    return int(_stat(pid)[_START_TIME])


def state(pid: int) -> str:
    """Return the state letter: R, S, D, T, t, Z, X, I."""
    return _stat(pid)[_STATE]


def parent(pid: int) -> int:
    """Return the pid of the parent; 0 if it has none in this pid namespace."""
    return int(_stat(pid)[_PPID])


def exit_code(pid: int) -> int:
    """Return the wait status of a zombie; 0 while it runs, or without ptrace rights over it."""
    return int(_stat(pid)[_EXIT_CODE])


def thread_count(pid: int) -> int:
    """Return the number of threads."""
    return int(_stat(pid)[_THREADS])


def process_of(number: int) -> int:
    """Return the process that has a number, as its own or as that of one of its threads."""
    for line in _read(number, "status").splitlines():
        if line.startswith("Tgid:"):
            return int(line[5:])
    raise ProcessGoneError(number, "it exited")


def has_children(pid: int) -> bool:
    """Whether any thread of the process has a child, zombies included."""
    try:
        tasks = [task.name for task in (PROC / str(pid) / "task").iterdir()]
    except OSError as error:
        raise _gone(pid, error) from error
    # Needs CONFIG_PROC_CHILDREN. Children belong to the thread that forked them, hence all tasks.
    found = False
    for tid in tasks:
        try:
            found = found or bool((PROC / str(pid) / "task" / tid / "children").read_text())
        except FileNotFoundError:
            if not (PROC / "self/task" / str(os.getpid()) / "children").exists():
                raise UnsupportedError(
                    "no /proc/PID/task/TID/children: a kernel with CONFIG_PROC_CHILDREN is needed"
                ) from None
        except ProcessLookupError as error:
            raise _gone(pid, error) from error
    return found


def resident(pid: int) -> int:
    """Return the bytes that are resident, what it shares with others included."""
    return int(_read(pid, "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cgroup_path(pid: int) -> str:
    """Return the cgroup v2 path, such as "/a/b"; with "/.." outside this cgroup namespace."""
    for line in _read(pid, "cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    raise UnsupportedError(
        f"process {pid} has no cgroup v2 line in /proc/{pid}/cgroup; mount cgroup2"
    )


def comm(pid: int) -> str:
    """Return the command name, at most 15 bytes, chosen by the process itself."""
    return _read(pid, "comm").removesuffix("\n")


def arguments(pid: int, most: int) -> bytes:
    """Return the beginning of what it was started with, each argument with a NUL behind it.

    A process can keep whoever reads this, or its environment, waiting for ever.
    """
    return _beginning(pid, "cmdline", most)


def environment(pid: int, most: int) -> bytes:
    """Return the beginning of its environment as it was started, NAME=value and NUL."""
    return _beginning(pid, "environ", most)


def pids() -> list[int]:
    """Return the processes of this pid namespace; some may be gone already."""
    return [int(entry.name) for entry in os.scandir(PROC) if entry.name.isdecimal()]


def set_oom_score_adj(pid: int, value: int) -> int:
    """Raise oom_score_adj to `value` (-1000..1000), never lower it; returns what it is now."""
    if not -1000 <= value <= 1000:
        raise BadValueError(f"{value} is not an oom_score_adj: choose -1000 to 1000")
    now = int(_read(pid, "oom_score_adj"))
    if now >= value:
        return now
    try:
        (PROC / str(pid) / "oom_score_adj").write_text(str(value))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _gone(pid, error) from error
    return value


def ns_id(pid: int, kind: Literal["user", "pid", "cgroup", "mnt", "net"]) -> int:
    """Return the inode number of one of the process's namespaces: equal numbers, same namespace."""
    try:
        return (PROC / str(pid) / "ns" / kind).stat().st_ino
    except PermissionError as error:
        raise DeniedError(f"process {pid}: its namespaces are not ours to read") from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _gone(pid, error) from error


def in_initial_pids() -> bool:
    """Whether pids are here what they are to the kernel itself."""
    return ns_id(os.getpid(), "pid") == _INITIAL_PIDS


def numbers_until(pid: int) -> int:
    """How many processes or threads this pid namespace may start until a freed pid is used again.

    The kernel gives numbers in order, and begins anew at the end of them.
    """
    last = int((PROC / "loadavg").read_text().split()[-1])
    return (pid - last - 1) % pid_max()


def pid_max() -> int:
    """Return how many numbers there are for processes."""
    return int((PROC / "sys/kernel/pid_max").read_text())


def memory_total() -> int:
    """Return MemTotal of the host in bytes."""
    return meminfo()["MemTotal"]


def meminfo(proc: Path = PROC) -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    values = {}
    for line in (proc / "meminfo").read_text().splitlines():
        key, _, rest = line.partition(":")
        amount, *unit = rest.split()
        values[key] = int(amount) * (1024 if unit else 1)
    return values


def cpu_count() -> int:
    """Count the CPUs online, whether or not this process may use them."""
    return os.cpu_count() or 1


def boot_id() -> str:
    """Return a UUID of this boot: pids and cgroup ids of another boot mean nothing."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str]:
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        # The bytes of a name are the process's choice.
        return (PROC / str(pid) / name).read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _gone(pid, error) from error


def _beginning(pid: int, name: str, most: int) -> bytes:
    try:
        with (PROC / str(pid) / name).open("rb", buffering=0) as file:
            return file.read(most)
    except OSError as error:
        raise _gone(pid, error) from error


def _gone(pid: int, error: OSError) -> ProcessGoneError:
    return ProcessGoneError(pid, error.strerror or "it exited")
