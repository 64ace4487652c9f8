"""Each kind of cgroup that must not become a session is refused in its own words."""

import pytest

from agentcg.policy.targets import refuse_origin, refuse_target, ways_out

OWN = "system.slice/agentcg.service"
FORBIDDEN = {
    "root": ("", "the root cgroup"),
    "init": ("init.scope", "a service manager itself"),
    "slice": ("agentcg.slice", "is a slice"),
    "nested slice": ("agentcg.slice/agentcg-a.slice", "is a slice"),
    "user manager": ("user.slice/user-1000.slice/user@1000.service", "is a user manager"),
    "its init": (
        "user.slice/user-1000.slice/user@1000.service/init.scope",
        "a service manager itself",
    ),
}
TARGETS = {
    **FORBIDDEN,
    "own unit": (OWN, "the daemon's own unit"),
    "below own unit": (f"{OWN}/x", "the daemon's own unit"),
    "of a user": (
        "user.slice/user-1000.slice/user@1000.service/app.slice/agent.scope",
        "belongs to a user manager",
    ),
}


@pytest.mark.parametrize(("path", "why"), TARGETS.values(), ids=TARGETS.keys())
def test_forbidden_targets(path: str, why: str) -> None:
    reason = refuse_target(path, delegated=True, children=(), own_unit=OWN)
    assert reason is not None
    assert why in reason


def test_every_refusal_differs() -> None:
    reasons = {
        str(refuse_target(path, delegated=True, children=(), own_unit=OWN)).replace(path, "")
        for path, _ in TARGETS.values()
    }
    assert len(reasons) == 6  # slices, init.scopes and the own unit appear twice


def test_a_service_or_scope_that_is_not_delegated() -> None:
    for path in ("system.slice/cron.service", "agentcg.slice/x.scope"):
        reason = refuse_target(path, delegated=False, children=(), own_unit=OWN)
        assert reason is not None
        assert "not delegated" in reason


def test_children_that_we_did_not_make() -> None:
    reason = refuse_target(
        "agentcg.slice/x.scope", delegated=True, children=["b", "a"], own_unit=OWN
    )
    assert reason is not None
    assert "(a, b)" in reason


@pytest.mark.parametrize(
    "path",
    [
        "agentcg.slice/x.scope",
        "system.slice/docker-abc.scope",
        "docker/abc",
        "system.slice/agentcg.service2/x",
        "agentcg.slice/agent.service",
    ],
)
def test_what_may_be_a_session(path: str) -> None:
    assert refuse_target(path, delegated=True, children=(), own_unit=OWN) is None
    assert refuse_target(path, delegated=True, children=(), own_unit=None) is None


@pytest.mark.parametrize(("path", "why"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_forbidden_origins(path: str, why: str) -> None:
    reason = refuse_origin(path, delegated=False)
    assert reason is not None
    assert why in reason


def test_origins() -> None:
    session = "user.slice/user-1000.slice/session-3.scope"
    terminal = "user.slice/user-1000.slice/user@1000.service/app.slice/term.scope"
    for path in (session, terminal, f"{terminal}/nested", "plain/dir"):
        assert refuse_origin(path, delegated=False) is None
    service = refuse_origin("system.slice/cron.service/sub", delegated=False)
    assert "'system.slice/cron.service' is a service" in str(service)
    container = refuse_origin("system.slice/docker-abc.scope", delegated=True)
    assert "delegated to a manager of its own" in str(container)


def test_ways_out_of_a_session_on_the_host() -> None:
    assert ways_out({1000, 1001}, managers=()) is None
    assert "root" in str(ways_out({0, 1000}, managers={1000}))
    assert "user@1000.service" in str(ways_out({1000, 1001}, managers={1001, 1000}))
