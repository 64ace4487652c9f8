"""The class of a command."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.intent.kinds import kind_of


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("git status", "git status"),
        ("git -C /x log --oneline", "git log"),
        ("pytest -q tests", "pytest"),
        ("python -m pytest tests", "pytest"),
        ("/usr/bin/python3.11 run.py", "python"),
        ("cd /repo && A=1 npm run build", "npm run"),
        ("sh -c cd x; timeout 60 make -j8 all", "make all"),
        ("bash -lc 'cargo test --all'", "cargo test"),
        ("bash -c \"bash -c 'go build ./...'\"", "go build"),
        ("sudo env FOO=1 apt-get install -y x", "apt-get install"),
        ("cat a | grep b", "cat"),
        ("ls", "ls"),
        ("cd x", "cd"),
        ("", "shell"),
        (None, "shell"),
        ("sha256:0011223344556677", "shell"),
        ("\x1b]0;x\x07<script>alert(1)</script>", "script"),
        ("$(evil)", "evil"),
        ("“quoted”", "shell"),
    ],
)
def test_a_command_has_a_class(command: str | None, kind: str) -> None:
    assert kind_of(command, "shell") == kind


@given(st.text(), st.text())
def test_a_class_is_plain_and_short(command: str, tool: str) -> None:
    kind = kind_of(command, tool)
    assert kind.isascii()
    assert kind.isprintable()
    assert 0 < len(kind) <= 65


@pytest.mark.parametrize(
    "text", ["'" * 5000, "a=" * 5000, "sudo " * 5000, '"\\' * 5000, "(" * 5000]
)
def test_hostile_text_costs_nothing(text: str) -> None:
    begun = time.process_time()
    kind_of(text, "shell")
    assert time.process_time() - begun < 0.5
