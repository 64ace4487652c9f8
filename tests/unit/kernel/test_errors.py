"""Slugs are a public contract."""

from agentcg import errors


def subclasses(kind: type[errors.AgentcgError]) -> set[type[errors.AgentcgError]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(subclasses(one) for one in direct)) if direct else direct


def test_slugs_and_statuses() -> None:
    assert {kind.slug: kind.status for kind in subclasses(errors.AgentcgError)} == {
        "bad-value": 422,
        "not-found": 404,
        "conflict": 409,
        "denied": 403,
        "too-many": 429,
        "unsupported": 501,
        "bpf": 500,
        "cgroup": 500,
        "cgroup-gone": 410,
        "knob-missing": 501,
        "config": 500,
        "unavailable": 503,
        "process-gone": 409,
    }


def test_messages_have_value_and_remedy() -> None:
    error = errors.CgroupError("/cg/memory.max", "x", None, 22)
    assert error.message == str(error)
    assert error.message.startswith("/cg/memory.max: writing 'x': Invalid argument; ")
    assert errors.CgroupError("/cg/a").message == "/cg/a: failed"
    assert "create it again" in errors.CgroupGoneError("/cg/a", None, None, 2).message
