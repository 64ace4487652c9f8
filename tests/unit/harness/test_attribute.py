"""Which call a process belongs to: what each reason takes, and what takes precedence."""

import pytest

from agentcg.harness import attribute
from agentcg.harness.attribute import WITHIN, Reason, command_of
from agentcg.model.process import Seen, What
from tests.unit.harness.story import OPEN, Story


@pytest.mark.parametrize("parent", [1, 2])
@pytest.mark.parametrize(
    "words", [("bash", "-c", "make"), ("make",), ("sh", "build.sh"), ("env", "make")]
)
def test_what_harness_or_shell_starts_is_a_command(
    story: Story, parent: int, words: tuple[str, ...]
) -> None:
    verdict = story.run(10, parent, *words)
    if words[0] == "env":  # only when it has become what it starts
        assert verdict.command is None
        verdict = story.exec(10, *words[1:], parent=parent)
    assert (verdict.new, verdict.reason) == (True, Reason.UNDECLARED)


def test_what_a_command_starts_is_part_of_it_however_deep(story: Story) -> None:
    make = story.run(10, 1, "bash", "-c", "make").command
    story.fork(11, 10)
    story.fork(12, 11)
    cc = story.exec(12, "cc", parent=11)
    assert (cc.new, cc.command) == (False, make)
    assert make is not None
    story.lineage.placed(make, OPEN)
    assert story.lineage.of(OPEN) == [(10, 10), (11, 11), (12, 12)]
    assert story.run(13, 12, "ld").call == OPEN
    # It may become another program, and stays the same command.
    assert story.exec(10, "make", parent=1).command is make


def test_commands_typed_into_a_subshell_are_commands(story: Story) -> None:
    story.fork(10, 2)
    assert story.run(11, 10, "make").new
    assert story.run(12, 10, "ls").new


@pytest.mark.parametrize(
    "words", [("acg", "hook", "codex"), ("sh", "-c", "acg hook codex"), ("tmux",), ("su", "-")]
)
def test_what_is_no_command(story: Story, words: tuple[str, ...]) -> None:
    assert story.run(10, 1, *words).command is None


def test_through_a_multiplexer_the_shell_stays_and_its_commands_do_not(story: Story) -> None:
    story.run(10, 1, "tmux", "new-session", "-d")
    story.fork(11, 10)  # the server, which its parent leaves
    story.lineage.exited(Seen(What.EXIT, 9, 10))
    assert story.run(12, 11, "bash").command is None
    assert story.run(13, 12, "make").new


def test_beside_a_call_that_a_line_asks_for_the_rest_is_commands(story: Story) -> None:
    story.run(10, 1, "bash", "-c", "make && acg run -- ./test")
    assert story.run(11, 10, "make").new
    assert story.run(12, 10, "acg", "run", "--", "./test").command is None
    # Where the daemon did not place it, it goes on as what it was to run.
    assert story.exec(12, "./test", parent=10).new


@pytest.mark.parametrize(
    ("words", "is_command"),
    [
        (("bash", "-lc", "make"), True),  # docker exec, by a harness outside
        (("claude", "-p"), False),
        (("bash",), False),
        (("sh", "start.sh"), False),
    ],
)
def test_who_comes_in_from_outside(words: tuple[str, ...], is_command: bool) -> None:
    assert Story().exec(50, *words, parent=7).new is is_command


def test_a_founders_scripts_and_lines_lead_to_the_harness() -> None:
    story = Story()
    story.found((1, 0, ("sh", "-c", "cd x; ./start.sh")))
    assert story.run(2, 1, "sh", "./start.sh").command is None
    assert story.run(3, 2, "env", "claude").command is None
    assert story.exec(3, "claude", parent=2).command is None
    assert story.run(4, 3, "git", "status").new
    # A founder that becomes another program still is one.
    assert story.exec(1, "sh", "-c", "claude", parent=0).command is None


def test_who_was_there_before_is_no_new_command() -> None:
    story = Story()
    story.found((1, 0, ("claude",)), (2, 1, ("bash", "-c", "make")))
    assert story.run(3, 2, "cc").new is False
    assert story.run(4, 1, "ls").new is True


def test_what_happens_before_those_that_were_there_are_read_stands() -> None:
    story = Story()
    sh = ("sh", "-c", "claude")
    for pid, parent in ((1, 0), (2, 1), (3, 1), (4, 1)):
        story.lineage.there(Seen(What.FORK, 9, pid, parent, pid))
    # The harness, of which nobody knows yet that it is one.
    assert story.exec(1, "sh", "-c", "claude").command is None
    assert story.exec(2, "sh", "-c", "make", parent=1).command is None
    assert story.exec(1, "claude").command is None
    # What was read of 1 was so before; 3 is gone, and its number another's.
    story.lineage.exited(Seen(What.EXIT, 9, 3))
    story.fork(3, 1)
    for pid, start in ((1, 1), (3, 33), (4, 4)):
        story.lineage.found(Seen(What.EXEC, 9, pid, 0 if pid == 1 else 1, start, sh))
    assert story.run(10, 1, "make").new
    assert story.run(11, 4, "cc").new is False
    assert story.exec(3, "make", parent=1).new


def test_its_environment_names_the_call(story: Story) -> None:
    verdict = story.run(10, 1, "make", AGENTCG_CALL=OPEN)
    assert (verdict.call, verdict.new) == (OPEN, False)
    assert story.run(11, 10, "cc").call == OPEN
    # One that is over, or another session's.
    assert story.run(12, 1, "make", AGENTCG_CALL="c-other").new


def test_the_same_span_is_the_same_call_unless_it_is_the_harness_own(story: Story) -> None:
    first = story.run(10, 1, "make", TRACEPARENT="a").command
    assert first is not None
    assert story.run(11, 1, "ls", TRACEPARENT="a").new  # not placed yet
    story.lineage.placed(first, OPEN)
    joined = story.run(12, 1, "ls", TRACEPARENT="a")
    assert (joined.new, joined.call) == (False, OPEN)
    assert story.run(13, 1, "ls", TRACEPARENT="b").new
    own = story.run(14, 1, "ls", TRACEPARENT="harness").command
    assert own is not None
    story.lineage.placed(own, OPEN)
    assert story.run(15, 1, "ls", TRACEPARENT="harness").new
    # One that is over takes nobody in.
    story.calls = ()
    assert story.run(16, 1, "ls", TRACEPARENT="a").new


@pytest.mark.parametrize(
    "words",
    [
        ("bash", "-lc", "make  test"),
        ("make", "test"),
        ("bash", "-c", "source x && eval 'make test' < /dev/null && pwd -P >| y"),
    ],
)
def test_its_words_are_those_that_were_announced(story: Story, words: tuple[str, ...]) -> None:
    story.announce("other", "make")
    story.announce("mine", "make test", ago=600)
    verdict = story.run(10, 1, *words)
    assert (verdict.reason, verdict.key) == (Reason.WORDS, "mine")


def test_only_announcements_of_its_own_conversation_count(story: Story) -> None:
    story.announce("a", "make", session="one")
    story.announce("b", "make", session="two")
    assert story.run(10, 1, "make", CLAUDE_CODE_SESSION_ID="one").key == "a"
    assert story.run(11, 1, "make", CLAUDE_CODE_SESSION_ID="two").key == "b"
    assert story.run(12, 1, "make", CLAUDE_CODE_SESSION_ID="three").key is None


@pytest.mark.parametrize(
    ("parent", "announced", "ago", "key"),
    [
        (2, ["make test"], 0.1, "make test"),
        (2, ["make test"], WITHIN + 1, None),  # too long ago
        (2, ["a", "b"], 0.1, None),  # which of them?
        (1, ["make test"], 0.1, None),  # the harness's own helper
    ],
)
def test_a_shells_next_command_is_the_one_that_waits(
    story: Story, parent: int, announced: list[str], ago: float, key: str | None
) -> None:
    for one in announced:
        story.announce(one, one, ago=ago)
    verdict = story.run(10, parent, "python3", "-m", "pytest")
    assert verdict.key == key
    assert verdict.reason is (Reason.UNDECLARED if key is None else Reason.TIME)


def test_the_environment_wins_over_words_and_words_over_time(story: Story) -> None:
    story.announce("said", "make")
    assert story.run(10, 2, "make", AGENTCG_CALL=OPEN).call == OPEN
    assert story.run(11, 2, "make").reason is Reason.WORDS


def test_a_number_that_passed_on_is_another_process(story: Story) -> None:
    story.run(10, 1, "make")
    again = Seen(What.EXEC, 9, 10, 7, 999, ("claude",))
    assert story.lineage.executed(again, lambda _: False).command is None
    # Its fork was lost: whatever it is, it is left alone.
    lost = Seen(What.EXEC, 9, 60, 61, 60, ("make",))
    assert story.lineage.executed(lost, lambda _: False).command is None


def test_words_are_compared_only_where_somebody_waits(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(attribute, "by_line", lambda line, _: asked.append(line))
    story.run(10, 1, "make")
    assert asked == []
    story.announce("said", "ls")
    story.run(11, 1, "make")
    assert asked == ["make"]


def test_the_line_that_a_person_would_know_it_by() -> None:
    assert command_of(["bash", "-lc", "make test"]) == "make test"
    assert command_of(["make", "test"]) == "make test"
    assert command_of([]) == ""
