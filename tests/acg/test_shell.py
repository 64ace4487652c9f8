"""`acg shell` and `acg-shell`: the line goes to the daemon, then to the shell, whatever it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acg.client import Client
from tests.acg.peer import listen, ok, peer

LINE = "eval 'echo \"$0 $A\"' \\< /dev/null && exit 3"


@pytest.fixture
def wrapper(client: Client) -> Path:
    path = client.root / "acg-shell"
    if not path.exists():
        path.symlink_to(client.program)
    return path


def test_the_line_is_asked_about_and_run(client: Client, wrapper: Path) -> None:
    for words, program in (((LINE,), wrapper), (("shell", LINE), client.program)):
        with peer(client.sock, ok(b"EA=new", b"Mnote")) as seen:
            done = client.run(*words, program=program, env={"A": "old", "SHELL": "/bin/bash"})
        assert (done.returncode, done.stdout, done.stderr) == (3, b"/bin/bash new\n", b"note\n")
        assert seen.head.startswith(b"POST /v1/acg/shell HTTP/1.1\r\n")
        assert seen.tagged(b"A") == [LINE.encode()]
        assert (seen.threads, seen.children) in ((1, ""), (1, "not read"))


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/cat", "bash", "/no/such/bash", None])
def test_only_a_shell_is_taken_for_one(wrapper: Path, shell: str | None) -> None:
    env = {} if shell is None else {"SHELL": shell}
    # As bash itself and not as sh: there a file that is not there to be read would be the end.
    line = "source /no/such/file 2>/dev/null || true && a-b() { echo $0; } && a-b"
    done = Client(wrapper.parent).run(line, program=wrapper, env=env)
    assert (done.returncode, done.stdout) == (0, b"/bin/bash\n")


def test_without_a_daemon_the_line_is_run(client: Client, wrapper: Path) -> None:
    done = client.run(LINE, program=wrapper, env={"A": "old", "SHELL": "/bin/bash"})
    assert (done.returncode, done.stdout, done.stderr) == (3, b"/bin/bash old\n", b"")


def test_a_hook_is_not_asked_about(client: Client, wrapper: Path) -> None:
    with listen(client.sock) as listener:
        done = client.run("echo /x/acg hook claude-code", program=wrapper)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.stdout == b"/x/acg hook claude-code\n"


def test_a_refusal_is_heard(client: Client, wrapper: Path) -> None:
    with peer(client.sock, ok(b"Mno", b"X125")):
        done = client.run("echo x", program=wrapper)
    assert (done.returncode, done.stdout, done.stderr) == (125, b"", b"no\n")


@pytest.mark.parametrize("words", [[], ["a", "b"]])
def test_it_takes_one_line(client: Client, wrapper: Path, words: list[str]) -> None:
    assert client.run(*words, program=wrapper).returncode == 125
