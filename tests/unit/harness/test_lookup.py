"""Which announced command a wrapped line runs; lines as harnesses have put them together."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.harness import lookup
from agentcg.harness.lookup import looks

START = "source /home/u/.claude/shell-snapshots/snapshot-bash-1755042239230-87cw6n.sh && "
END = " && pwd -P >| /tmp/claude-13a4-cwd"


def by_line(line: str, announced: list[tuple[str, str]]) -> str | None:
    return lookup.by_line(line, [(key, looks(command)) for key, command in announced])


def by_words(words: str, announced: list[tuple[str, str]]) -> str | None:
    return lookup.by_words(words, [(key, looks(command)) for key, command in announced])


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (START + r"eval date \< /dev/null" + END, "date"),
        (START + r"eval 'make -j2 test' \< /dev/null" + END, "make -j2 test"),
        (
            "shopt -u extglob 2>/dev/null || true && { \\builtin unset -f 'x'; } >/dev/null 2>&1 "
            "|| true && eval 'ls -la /p/ 2>&1; echo \"--- check ---\"' < /dev/null" + END,
            'ls -la /p/ 2>&1; echo "--- check ---"',
        ),
        (START + "eval 'cat a < /dev/null | grep b'" + END, "cat a | grep b"),
        (START + "eval 'it'\"'\"'s'" + END, "it's"),
        (START + r"eval 'it'\''s'" + END, "it's"),
        (START + r"""eval "echo it's \$HOME \`x\`" """ + END, "echo it's $HOME `x`"),
        (
            START + "eval 'for i in 1 2\ndo\n echo $i\ndone'" + END,
            "for i in 1 2\ndo\n echo $i\ndone",
        ),
        ((START + f"eval '{'x' * 9000}")[:4093], "x" * 9000),
    ],
)
def test_a_line_is_known_by_its_command(line: str, command: str) -> None:
    others = [("k0", "dat"), ("k1", "cat"), ("k2", "make -j2"), ("k3", "evaldate")]
    assert by_line(line, [*others, ("it", command), ("later", command)]) == "it"
    assert by_line(line, others) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "date",
        "npx date",
        "/run/agentcg/agent/acg hook claude-code date",
        "eval",
        "cd x && date",
        "eval 'dates'",
        "echo eval; echo 'date",
    ],
)
def test_other_lines_are_no_call(line: str) -> None:
    assert by_line(line, [("it", "date")]) is None


def test_what_is_empty_matches_nothing() -> None:
    assert by_line("eval ''", [("it", ""), ("is", "' '")]) is None
    assert by_words("", [("it", "acg run -- x")]) is None


@given(st.text(min_size=1))
def test_any_command_that_a_shell_can_be_given_is_found(command: str) -> None:
    line = f"{START}eval {shlex.quote(command)} \\< /dev/null{END}"
    nothing = not command.translate({ord(c): None for c in "'\"\\"}).split()
    found = by_line(line, [("it", command)])
    assert found == (None if nothing else "it")


@given(st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_no_text_breaks_it(line: str, announced: list[tuple[str, str]]) -> None:
    by_line(line, announced)
    by_line("eval '" + line, announced)
    by_words(line, announced)


def test_acg_run_inside_a_command_belongs_to_it() -> None:
    announced = [("k0", "make test"), ("k1", "cd x && acg run --memory 2g -- make 'test' | tail")]
    assert by_words("make test", announced) == "k1"
    assert by_words("make", announced) == "k1"
    assert by_words("make check", announced) is None


def test_of_a_cut_line_the_longest_beginning_counts() -> None:
    long = "cat > f <<'EOF'\n" + "x" * 5000
    line = START + f"eval 'cat > f <<EOF {'x' * 5000}"
    assert by_line(line, [("short", "cat"), ("long", long.replace("'EOF'\n", "EOF "))]) == "long"


def test_words_are_found_behind_the_options_only() -> None:
    assert by_words("make", [("a", "acg run -- cmake")]) is None
    assert by_words("make", [("a", "acg run --memory 2g -- make")]) == "a"
