"""The program in a terminal: keys scrub through a file, and what is in it does no harm."""

from pathlib import Path

from tests.unit.cli.conftest import Run
from tests.unit.cli.replay.recordings import written
from tests.unit.cli.top.driven import driven


def test_a_file_is_scrubbed_through(tmp_path: Path) -> None:
    path = written(tmp_path / "x.gz")
    with driven(
        tmp_path / "none", str(path), "--speed", "0.125", what="replay", size=(100, 30)
    ) as it:
        it.until("replay of x.gz", "s-1", "agent \\x1", " of 16G")
        it.press(" ")
        it.until("paused")
        it.press("\t")
        it.until("c-goes")
        it.press("\x1b[C\x1b[C\x1b[C")
        it.until("c-dies", "frozen")
        it.press("\x1b[1;2C")
        it.until("the end", "over")
        it.press("\x1b[D\x1b[D\x1b[D\x1b[D")
        it.until("killed", "call.oom", "c-dies")
        it.press("+")
        it.until("speed 0.25")
        it.press("?")
        it.until("with Shift a minute", "twice, half as fast")
        it.press("xq")
        assert it.ended() == 0
        assert b"\x1b]" not in it.raw
        assert b"\x07" not in it.raw


def test_without_a_file_it_is_the_daemons_store(server: "object", tmp_path: Path) -> None:
    from tests.unit.api.fake import Running

    assert isinstance(server, Running)
    with driven(server.admin, what="replay", size=(100, 30)) as it:
        it.until("replay of the store", "s-home")
        it.press("q")
        assert it.ended() == 0


def test_a_wrong_file_is_told(tmp_path: Path, cli: Run) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(b"no recording")
    with driven(tmp_path / "none", str(path), what="replay", size=(200, 30)) as it:
        assert it.ended() == 2
        assert "line 1: cannot be unpacked" in it.raw.decode()
    with driven(tmp_path / "none", str(tmp_path / "y"), what="replay", size=(200, 30)) as it:
        assert it.ended() == 2
        assert "No such file" in it.raw.decode()
    code, _, err = cli("replay", str(path))
    assert code == 2
    assert "replay needs a terminal" in err
    assert "`agentcg record` makes a file that `zcat` prints anywhere" in err


def test_a_time_is_one_of_the_recording(tmp_path: Path) -> None:
    path = str(written(tmp_path / "x.gz"))
    with driven(tmp_path / "none", path, "--at", "20s", what="replay", size=(100, 30)) as it:
        it.press(" ")
        it.until("replay of x.gz", "to ", without="the end")
        it.press("q")
        assert it.ended() == 0
    for at, words in (("2h", "x.gz begins at 20"), ("2099-01-01", "x.gz ends at 20")):
        with driven(tmp_path / "none", path, "--at", at, what="replay", size=(200, 30)) as it:
            assert it.ended() == 2
            assert words in it.raw.decode()
    late = ("--at", "2099-01-01")
    with driven(tmp_path / "none", *late, what="replay", size=(200, 30)) as it:
        assert it.ended() == 2
        assert "--at 2099-01-01T00:00:00" in it.raw.decode()
