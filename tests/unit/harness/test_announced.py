"""What is remembered of announced calls, and for whom."""

from agentcg.harness.announced import REMEMBERED, Announced, Hooked
from agentcg.harness.told import Moment, Told


def one(key: str, session: str = "s", digest: str = "d") -> Announced:
    told = Told(Moment.BEFORE, "e", session, "Bash", "true", key, digest)
    return Announced(key, told, "true", "true")


def test_a_call_is_taken_once() -> None:
    hooked = Hooked()
    hooked.add(one("a"))
    hooked.add(one("b"))
    assert [key for key, _ in hooked.waiting()] == ["b", "a"]
    taken = hooked.take("a")
    assert taken is not None
    assert taken.key == "a"
    assert [key for key, _ in hooked.waiting()] == ["b"]
    assert hooked.take(None) is None


def test_told_again_a_taken_call_stays_what_it_was() -> None:
    hooked = Hooked()
    hooked.add(one("a"))
    first = hooked.take("a")
    hooked.add(one("a"))
    assert hooked.known["a"] is first


def test_a_conversations_own_come_first() -> None:
    hooked = Hooked()
    for key, session in (("a", "x"), ("b", "y"), ("c", "y")):
        hooked.add(one(key, session))
    assert [key for key, _ in hooked.waiting("y")] == ["c", "b", "a"]
    assert [key for key, _ in hooked.waiting()] == ["c", "b", "a"]


def test_without_an_id_the_newest_alike_that_is_not_over_is_meant() -> None:
    hooked = Hooked()
    for key in "abc":
        hooked.add(one(key, digest="same" if key != "b" else "other"))
    asked = Told(Moment.AFTER, "e", digest="same")
    first = hooked.find(asked)
    assert first is not None
    assert first.key == "c"
    first.over = True
    second = hooked.find(asked)
    assert second is not None
    assert second.key == "a"
    assert hooked.find(Told(Moment.AFTER, "e", key="b")) is hooked.known["b"]
    assert hooked.find(Told(Moment.AFTER, "e", key="z")) is None


def test_what_never_came_goes_with_its_conversation() -> None:
    hooked = Hooked()
    for key, session in (("a", "s"), ("b", "s"), ("c", "t"), ("d", "s")):
        hooked.add(one(key, session))
    hooked.take("d")
    hooked.forget("s")
    assert list(hooked.known) == ["c", "d"]


def test_a_session_cannot_make_it_remember_without_end() -> None:
    hooked = Hooked()
    for number in range(REMEMBERED + 5):
        hooked.add(one(f"k{number}"))
    assert len(hooked.known) == REMEMBERED
    assert "k0" not in hooked.known
