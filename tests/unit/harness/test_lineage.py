"""How much is kept of an agent's processes and spans, and what of it goes first."""

from tests.unit.harness.story import OPEN, Story


def test_a_fork_whose_parent_is_not_known_is_not_kept_and_a_storm_is_bounded(story: Story) -> None:
    story.fork(10, 77)
    assert 10 not in story.lineage.known
    for pid in range(100, 6000):
        story.fork(pid, pid - 1 if pid > 100 else 2)
    assert len(story.lineage.known) <= 4096


def test_a_storm_does_not_have_the_harness_or_what_is_at_work_forgotten(story: Story) -> None:
    story.run(10, 1, "make")
    story.run(20, 1, "make")
    for pid in range(100, 9000):
        story.fork(pid, 10)
        if pid % 1000 == 0:
            # Not forked from meanwhile, but seen.
            assert not story.exec(20, "make", parent=1).new
    known = story.lineage.known
    assert {1, 2, 10, 20} <= known.keys()
    assert 100 not in known
    assert len(known) == 4096
    # So what harness and shell start is theirs still.
    assert story.run(9001, 1, "bash", "-c", "make").new
    assert story.run(9002, 2, "ls").new


def test_where_all_are_of_the_harness_the_one_unseen_for_longest_goes(story: Story) -> None:
    for pid in range(100, 5000):
        story.run(pid, 1, "bash", "--norc")
    assert len(story.lineage.known) == 4096
    assert 1 in story.lineage.known


def test_spans_are_bounded_in_number_and_in_length(story: Story) -> None:
    for pid in range(100, 1000):
        command = story.run(pid, 1, "make", TRACEPARENT=str(pid)).command
        assert command is not None
        story.lineage.placed(command, OPEN)
    assert len(story.lineage.spans) == 256
    assert story.run(2000, 1, "ls", TRACEPARENT="999").call == OPEN
    assert story.run(2001, 1, "ls", TRACEPARENT="100").new
    long = story.run(2002, 1, "ls", TRACEPARENT="x" * 2000).command
    assert long is not None
    assert long.span is None
