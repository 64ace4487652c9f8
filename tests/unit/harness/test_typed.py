"""What else an announced line starts that was typed into a shell."""

import pytest

from agentcg.harness.announced import Announced, Hooked
from agentcg.harness.attribute import Command, Reason
from tests.unit.harness.story import OPEN, Story

SHELL = 2


def begun(story: Story, line: str = "make && ./run; ls", shell: int = SHELL) -> Announced:
    """The line has been announced and typed, and its first program, 10, is in its call."""
    story.announce("k", line)
    first = story.run(10, shell, "make", "all")
    assert (first.key, first.reason) == ("k", Reason.TIME)
    one = story.waiting.pop()
    one.taken = True
    assert first.command is not None
    story.lineage.began(first.command, one)
    story.lineage.placed(first.command, OPEN)
    return one


def more(story: Story, pid: int, *, parent: int = SHELL) -> bool:
    """Whether a program is part of the line, and then of its call."""
    verdict = story.run(pid, parent, "./run")
    assert verdict.new
    if verdict.reason is not Reason.LINE:
        assert verdict.reason is Reason.UNDECLARED
        return False
    first = story.lineage.known[10].command
    assert first is not None
    story.lineage.goes_on(pid, first)
    return (pid, pid) in story.lineage.of(OPEN)


def test_what_it_starts_next_is_of_its_call_and_so_is_what_that_starts(story: Story) -> None:
    one = begun(story)
    assert (one.typed, one.more) == (True, False)
    assert more(story, 11)
    assert one.more
    story.run(12, 11, "cc")
    assert story.lineage.of(OPEN) == [(10, 10), (11, 11), (12, 12)]
    # In a subshell, or behind a program that only starts it.
    story.fork(13, SHELL)
    assert more(story, 14, parent=13)
    assert story.run(15, SHELL, "nice", "ls").command is None
    assert story.exec(15, "ls").reason is Reason.LINE


def test_a_line_that_begins_in_a_subshell_goes_on_outside_of_it(story: Story) -> None:
    story.fork(9, SHELL)
    begun(story, "(cd x; make); ./run", shell=9)
    assert more(story, 11)


def test_in_another_shell_it_is_not_of_it(story: Story) -> None:
    begun(story)
    assert story.run(3, 1, "bash").command is None
    assert not more(story, 11, parent=3)
    # Nor in one that the line itself has asked for.
    story.run(4, SHELL, "tmux")
    story.run(5, 4, "bash")
    assert not more(story, 12, parent=5)
    assert more(story, 13)


@pytest.mark.parametrize("how", ["told", "ended", "next", "given back"])
def test_once_it_is_over_nothing_more_is_of_it(story: Story, how: str) -> None:
    one = begun(story)
    match how:
        case "told":
            one.over = True
        case "ended":
            story.calls = ()
        case "next":
            hooked = Hooked({"k": one})
            story.announce("k2", "x")
            hooked.add(story.waiting.pop())
        case _:
            one.taken = False
    assert not more(story, 11)
    # And it stays so.
    one.over, one.typed, one.taken, story.calls = False, True, True, (OPEN,)
    assert not more(story, 12)


def test_the_next_announcement_of_another_conversation_does_not_end_it(story: Story) -> None:
    one = begun(story)
    hooked = Hooked({"k": one})
    story.announce("k2", "x", session="other")
    hooked.add(story.waiting[0])
    assert one.typed
    # But who waits for such a command is asked first.
    assert story.run(11, SHELL, "ls").key == "k2"


def test_while_its_call_is_being_made_it_takes_in_more_and_one_takes_the_place_of_the_first(
    story: Story,
) -> None:
    one = begun(story)
    first = story.lineage.known[10].command
    assert first is not None
    first.call = None
    assert not more(story, 11)  # part of the line, in no call yet
    assert story.lineage.known[11].command is first
    assert story.lineage.succeeded(first)
    assert (first.pid, first.start) == (11, 11)
    story.lineage.placed(first, OPEN)
    assert story.lineage.of(OPEN) == [(11, 11)]
    assert not story.lineage.succeeded(first)
    assert one.more
    # Its number is somebody else's by now.
    other = story.run(11, SHELL, "make").command
    assert not story.lineage.succeeded(first)
    assert story.lineage.known[11].command is other is not first


def test_what_says_its_call_is_in_that(story: Story) -> None:
    begun(story)
    other = story.run(11, SHELL, "ls", AGENTCG_CALL=OPEN)
    assert (other.call, other.new) == (OPEN, False)
    assert story.lineage.known[11].command is not story.lineage.known[10].command


def test_a_line_that_began_with_who_is_forgotten_takes_in_nothing(story: Story) -> None:
    one = Announced("k", begun(story).told, "x", "x")
    story.lineage.began(Command(99, 99, "x"), one)
    assert not one.typed
