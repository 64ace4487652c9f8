"""A cgroup's files read again and again; the kernel's memory.peak is played."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.cgroup_file import CgroupFile
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.sample import Usage
from agentcg.telemetry.gauge import Gauge

PSI = (
    "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"
)


class Kernel:
    """memory.current and memory.peak of one cgroup, with what one descriptor sees of the latter."""

    def __init__(self, path: Path, *, resets: bool) -> None:
        self.path = path
        self.resets = resets
        self.reads: list[str] = []
        self.whole = self.since = 0
        self.local = False
        self.memory(0)

    def memory(self, *values: int) -> None:
        """It uses this, then this."""
        for value in values:
            self.now = value
            self.whole = max(self.whole, value)
            self.since = max(self.since, value)
        (self.path / "memory.current").write_text(f"{self.now}\n")
        (self.path / "memory.peak").write_text(f"{self.whole}\n")

    def read(self, file: CgroupFile) -> bytes:
        self.reads.append(file.path.name)
        if file.path.name == "memory.peak" and self.local:
            return f"{self.since}\n".encode()
        return file.path.read_bytes()

    def write(self, file: CgroupFile, value: str) -> None:
        assert file.path.name == "memory.peak"
        assert value
        if not self.resets:
            raise CgroupError(file.path, value, "Invalid argument", 22)
        self.local, self.since = True, self.now


@pytest.fixture(params=[True, False], ids=["resets", "before 6.12"])
def kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Kernel:
    made = Kernel(tmp_path, resets=request.param)
    monkeypatch.setattr(CgroupFile, "read", lambda file: made.read(file))
    monkeypatch.setattr(CgroupFile, "write", lambda file, value: made.write(file, value))
    return made


@pytest.fixture
def gauge(tmp_path: Path) -> Iterator[Gauge]:
    with CgroupDir.open(tmp_path) as cgroup:
        yield Gauge(cgroup, stamp, new=True)


def stamp() -> tuple[float, float]:
    return 1000.0, 7.0


def brief(gauge: Gauge) -> tuple[int | None, int | None]:
    usage = gauge.read(full=False).usage
    return usage.memory, usage.peak


def test_a_burst_between_two_readings_is_in_the_second(kernel: Kernel, gauge: Gauge) -> None:
    kernel.memory(10)
    assert brief(gauge) == (10, 10)
    kernel.memory(90, 12)
    assert brief(gauge) == (12, 90)
    assert brief(gauge) == (12, 12)
    kernel.memory(50, 12)
    # A lower burst shows only where the kernel can begin anew.
    assert brief(gauge) == (12, 50 if kernel.resets else 12)
    kernel.memory(95, 11)
    assert brief(gauge) == (11, 95)


def test_a_brief_reading_is_two_reads(kernel: Kernel, gauge: Gauge) -> None:
    brief(gauge)
    kernel.reads.clear()
    kernel.memory(90, 12)
    brief(gauge)
    assert sorted(kernel.reads) == ["memory.current", "memory.peak"]


def test_the_last_reading_makes_good_what_was_missed(kernel: Kernel, gauge: Gauge) -> None:
    kernel.memory(10)
    brief(gauge)
    kernel.memory(90, 12)
    kernel.since = 12  # just between reading and writing
    (kernel.path / "memory.peak").write_text("90\n")
    if kernel.resets:
        assert brief(gauge) == (12, 12)
    assert gauge.read_last().usage.peak == 90


@pytest.mark.usefixtures("kernel")
def test_everything_is_read_from_its_file(tmp_path: Path, gauge: Gauge) -> None:
    files = {
        "cpu.stat": "usage_usec 2500000\nthrottled_usec 250000\n",
        "pids.current": "4\n",
        "memory.stat": "anon 1\npgsteal 3\n",
        "memory.events.local": "max 5\noom_kill 2\n",
        "memory.pressure": PSI.format(2_000_000, 1_000_000),
        "cpu.pressure": PSI.format(3_000_000, 0),
        "io.pressure": PSI.format(4_000_000, 0),
        "io.stat": "8:0 rbytes=100 wbytes=20 rios=1\n253:1 rbytes=5 wbytes=6 dbytes=7\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert gauge.read(full=True).usage == Usage(
        0, 0, 2.5, 0.25, 4, 3 * 4096, 105, 26, 2.0, 1.0, 3.0, 4.0, 5, 2
    )
    # Nothing ran and nothing moved: the rest is not looked at.
    (tmp_path / "io.stat").write_text("8:0 rbytes=999 wbytes=0\n")
    assert gauge.read(full=True).usage.read == 105
    (tmp_path / "cpu.stat").write_text("usage_usec 2500001\n")
    assert gauge.read(full=True).usage.read == 999


def test_what_a_host_lacks_is_unknown(tmp_path: Path, gauge: Gauge) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1000000\n")
    assert gauge.read(full=True).usage == Usage(cpu=1.0)
    assert gauge.read(full=False).usage == Usage()


def test_without_memory_peak_the_peak_is_what_was_read(tmp_path: Path, gauge: Gauge) -> None:
    (tmp_path / "memory.current").write_text("7\n")
    assert brief(gauge) == (7, 7)


@pytest.mark.usefixtures("kernel")
def test_what_cannot_be_opened_now_is_opened_later(
    tmp_path: Path, gauge: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1000000\n")
    with monkeypatch.context() as full:

        def refuse(cgroup: CgroupDir, knob: str, flags: int, **_: object) -> int:
            raise CgroupError(cgroup.path / knob, None, "Too many open files", 24)

        full.setattr(CgroupDir, "fd_of", refuse)
        with pytest.raises(CgroupError, match="Too many open files"):
            gauge.read(full=True)
    assert gauge.read(full=True).usage.cpu == 1.0
    assert brief(gauge) == (0, 0)


def test_a_closed_cgroup_is_gone(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("7\n")
    with CgroupDir.open(tmp_path) as cgroup:
        made = Gauge(cgroup, stamp, new=True)
    with pytest.raises(CgroupGoneError):
        made.read(full=False)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_closed_with_who_reads_them(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("7\n")
    with CgroupDir.open(tmp_path) as cgroup:
        before = _open_files()
        made = Gauge(cgroup, stamp, new=True)
        assert brief(made) == (7, 7)
        (tmp_path / "memory.current").write_text("12\n")
        assert brief(made) == (12, 12)
        assert _open_files() > before
        del made
        assert _open_files() == before


@pytest.mark.parametrize(
    ("knob", "before", "after"),
    [
        ("cpu.stat", "usage_usec 5\nthrottled_usec 0\n", "usage_usec 5\nthrottled_usec 9000000\n"),
        ("memory.pressure", PSI.format(1, 1), PSI.format(9_000_000, 1)),
        ("cpu.pressure", PSI.format(1, 0), PSI.format(9_000_000, 0)),
        ("io.pressure", PSI.format(1, 0), PSI.format(9_000_000, 0)),
    ],
)
@pytest.mark.usefixtures("kernel")
def test_one_that_is_held_back_or_waits_does_not_stand_still(
    tmp_path: Path, gauge: Gauge, knob: str, before: str, after: str
) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 5\nthrottled_usec 0\n")
    (tmp_path / knob).write_text(before)
    (tmp_path / "pids.current").write_text("1\n")
    gauge.read(full=True)
    (tmp_path / knob).write_text(after)
    (tmp_path / "pids.current").write_text("2\n")
    usage = gauge.read(full=True).usage
    assert 9.0 in (usage.throttled, usage.memory_some, usage.cpu_some, usage.io_some)
    assert usage.pids == 2


def test_what_was_before_it_was_taken_up_is_of_no_reading(tmp_path: Path, kernel: Kernel) -> None:
    kernel.memory(90, 12)
    with CgroupDir.open(tmp_path) as cgroup:
        taken_up = Gauge(cgroup, stamp, new=False)
        assert brief(taken_up) == (12, 12)
        assert taken_up.read_last().usage.peak == 12
        kernel.memory(95, 11)
        assert taken_up.read_last().usage.peak == 95


def test_a_burst_is_told_by_the_next_reading_if_one_fails(
    kernel: Kernel, gauge: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.memory(99, 10)
    brief(gauge)
    kernel.memory(80, 12)
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise CgroupError("cpu.stat", None, "Too many open files", 24)

        full.setattr(Gauge, "_rest", refuse)
        with pytest.raises(CgroupError):
            gauge.read(full=True)
    assert brief(gauge) == (12, 80 if kernel.resets else 12)
    kernel.memory(120, 12)
    with monkeypatch.context() as full:
        full.setattr(Gauge, "_rest", refuse)
        with pytest.raises(CgroupError):
            gauge.read(full=True)
    assert gauge.read_last().usage.peak == 120
