"""What a host says that it can do."""

from agentcg.model.host import Host, Mechanism

HOST = Host(
    kernel="6.12.0",
    cpus=frozenset({0, 1}),
    memory_total=2**30,
    mechanisms={
        "memory": Mechanism("memory", works=True, detail="enabled"),
        "io.weight": Mechanism("io.weight", works=False, detail="no iocost"),
    },
    root="/sys/fs/cgroup",
)


def test_a_mechanism_that_works_needs_no_reason() -> None:
    assert HOST.has("memory")
    assert HOST.why_not("memory") == ""


def test_a_mechanism_that_does_not_work_says_why() -> None:
    assert not HOST.has("io.weight")
    assert HOST.why_not("io.weight") == "no iocost"


def test_a_mechanism_that_nobody_probed_counts_as_absent() -> None:
    assert not HOST.has("gpu")
    assert HOST.why_not("gpu") == "gpu was not probed"
