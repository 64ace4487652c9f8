"""What an argument vector starts, by what harnesses really start."""

import pytest

from agentcg.harness.shells import Form, asks_us, read


@pytest.mark.parametrize(
    ("words", "form", "line"),
    [
        (["bash", "-c", "make"], Form.LINE, "make"),
        (["/bin/bash", "-lc", "make -j8"], Form.LINE, "make -j8"),
        (["/bin/sh", "-c", "-l", "x"], Form.LINE, "x"),
        (["bash", "-o", "pipefail", "-c", "a | b"], Form.LINE, "a | b"),
        (["bash", "--norc", "--rcfile", "f", "-ec", "a"], Form.LINE, "a"),
        (["busybox", "sh", "-c", "a"], Form.LINE, "a"),
        (["bash", "-c"], Form.OTHER, ""),
        (["bash"], Form.PROMPT, ""),
        (["-bash"], Form.PROMPT, ""),
        (["bash", "--norc", "--noprofile"], Form.PROMPT, ""),
        (["bash", "-i"], Form.PROMPT, ""),
        (["bash", "-s", "one"], Form.PROMPT, ""),
        (["sh", "./run.sh", "-c"], Form.SCRIPT, ""),
        (["bash", "--", "run.sh"], Form.SCRIPT, ""),
        (["tmux", "new-session", "-d"], Form.THROUGH, ""),
        (["tmux: server", "new"], Form.THROUGH, ""),
        (["/usr/bin/su", "user", "-"], Form.THROUGH, ""),
        (["acg", "run", "--", "make"], Form.OWN, ""),
        (["/run/agentcg/agent/acg-shell", "x"], Form.OWN, ""),
        (["node", "server.js"], Form.OTHER, ""),
        ([""], Form.OTHER, ""),
        ([], Form.OTHER, ""),
    ],
)
def test_form(words: list[str], form: Form, line: str) -> None:
    started = read(words)
    assert (started.form, started.line) == (form, line)


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("acg run -- make", True),
        ("cd x && /usr/local/bin/acg run --memory 2g -- make", True),
        ("'/run/agentcg/agent/acg' hook codex", True),
        ("agentcg run -- make", True),
        ("/opt/acg-shell 'x'", True),
        ("acg", True),
        ("cat agentcg.yaml", False),
        ("cat acg.h; ls my-acg", False),
        ("make", False),
    ],
)
def test_a_line_that_runs_a_client_of_ours(line: str, asks: bool) -> None:
    assert asks_us(line) is asks
