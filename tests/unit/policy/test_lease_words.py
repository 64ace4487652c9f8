"""What an agent is told of GPU memory."""

from agentcg.model.gpu import EngineLimit, GpuWish, Lease, LeaseId, LeaseState, OnDeny
from agentcg.model.ids import CallId, SessionId
from agentcg.policy import lease_words as words

GIB = 1 << 30
LEASE = Lease(
    LeaseId("g"), SessionId("s"), CallId("c"), GpuWish(8 * GIB), LeaseState.ACTIVE, 0.0,
    bytes=4 * GIB, used=3 * GIB,
)  # fmt: skip


def test_denied_says_how_much_how_long_why_and_what_to_do() -> None:
    assert words.denied(GpuWish(8 * GIB), words.FULL, 12.0) == (
        "Denied 8 GiB of GPU memory after 12 s: other leases and the inference engine hold the "
        "memory. Ask for less, say the least that it can work with, or wait for longer."
    )
    assert words.denied(GpuWish(8 * GIB, least=GIB), "x", 0.0).endswith("x. Ask for less, or wait "
                                                                        "for longer.")  # fmt: skip
    on_cpu = GpuWish(8 * GIB, on_deny=OnDeny.CPU)
    assert words.denied(on_cpu, "x", 0.0).endswith("It runs without the GPU.")


def test_who_waits_and_who_has_a_part() -> None:
    assert words.queued(words.FULL, 90.0).endswith("there may be room in 1 min 30 s.")
    assert words.queued(words.FULL, None).endswith("hold the memory.")
    assert words.granted(LEASE) == "Granted 4 GiB of GPU memory of the 8 GiB that it asked for."


def test_a_lease_ends() -> None:
    assert words.ending(LEASE, words.PREEMPTED, 5.0) == (
        "Its lease of 4 GiB of GPU memory ends: one of higher priority needs the memory. It uses "
        "3 GiB. Free it within 5 s, or what holds it is killed."
    )


def test_a_name_from_outside_is_escaped() -> None:
    assert "\\x1b" in words.no_gpu("GPU-\x1b[2J")
    assert len(words.no_gpu("x" * 1000)) < 200


def test_the_engine() -> None:
    assert words.engine(EngineLimit(3, 50 * GIB, 30 * GIB), "") == (
        "The inference engine's KV cache is limited to 30 GiB, of 50 GiB of its own (revision 3)."
    )
    assert "(revision 4)" in words.engine(EngineLimit(4, 50 * GIB, 50 * GIB), "")
    assert words.engine(EngineLimit(3, 5, 3), "busy").endswith("could not be limited: busy.")
