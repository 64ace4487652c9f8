"""A kernel for cgroups of plain files: who is moved between them, and who is there then."""

from collections.abc import Callable

import pytest

from agentcg.kernel.cgroupfs import CgroupDir


class Moves:
    """A kernel for some cgroups: who is moved to one of them leaves the others; it may fork then.

    What it has forked is, as in the kernel, where it was itself. A thread moves its process.
    """

    def __init__(self, *cgroups: CgroupDir) -> None:
        self.cgroups = cgroups
        self.seen: list[tuple[str, int]] = []
        self.forks: dict[int, int] = {}
        self.threads: dict[int, int] = {}
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        self.patch.setattr(CgroupDir, "move", self.move)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()

    @property
    def move(self) -> Callable[[CgroupDir, int], None]:
        def move(target: CgroupDir, pid: int) -> None:
            self.seen.append((target.path.name, pid))
            pid = self.threads.get(pid, pid)
            for one in self.cgroups:
                inside = procs(one).split()
                if str(pid) in inside:
                    inside.remove(str(pid))
                    if pid in self.forks:
                        inside.append(str(self.forks.pop(pid)))
                if one is target:
                    inside.append(str(pid))
                (one.path / "cgroup.procs").write_text("\n".join(inside))

        return move


def procs(cgroup: CgroupDir) -> str:
    return (cgroup.path / "cgroup.procs").read_text()
