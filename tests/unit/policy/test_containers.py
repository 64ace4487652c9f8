"""Labels, rules and what makes a container one that can only be observed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError
from agentcg.model.container import Container
from agentcg.model.ids import session_id
from agentcg.model.rule import DockerRule
from agentcg.model.session import Undeclared
from agentcg.model.wire import BudgetBody
from agentcg.policy.containers import (
    cgroup_of,
    choose,
    observe_reason,
    sanitized,
    warning,
)
from agentcg.settings import Sessions

CID = "0123456789ab" * 5 + "cdef"
GIB = 1 << 30


def box(**facts: Any) -> Container:
    return replace(Container(id=CID, name="web", image="busybox", pid=7, running=True), **facts)


def test_nobody_asked() -> None:
    assert choose(box(), (), Sessions()) is None
    assert choose(box(), (DockerRule(name="other-*"),), Sessions()) is None


@pytest.mark.parametrize(("value", "expected"), [("mine", "mine"), ("", "web"), ("a b/c", "a-b-c")])
def test_the_label_names_the_session(value: str, expected: str) -> None:
    choice = choose(box(labels={"agentcg.session": value}), (), Sessions(priority=3))
    assert choice is not None
    assert choice.body.id == expected
    assert choice.body.container == CID
    assert choice.body.priority == 3
    assert choice.notes == ()


def test_labels_over_rules_over_defaults() -> None:
    rule = DockerRule(
        image="swe-*", priority=2, budget=BudgetBody(pids=99), undeclared=Undeclared.OBSERVE
    )
    labels = {"agentcg.priority": "-5", "agentcg.guarantee": "1GiB"}
    choice = choose(box(image="swe-7", labels=labels), (rule,), Sessions())
    assert choice is not None
    assert choice.body.priority == -5
    assert choice.body.budget == BudgetBody(pids=99, guarantee=GIB)
    assert choice.body.undeclared is Undeclared.OBSERVE
    plain = choose(box(image="swe-7"), (rule,), Sessions())
    assert plain is not None
    assert (plain.body.priority, plain.body.budget.guarantee) == (2, None)


def test_a_rule_needs_all_that_it_names() -> None:
    rules = (DockerRule(name="a*", image="b*"), DockerRule(priority=9))
    assert choose(box(name="ax", image="c"), rules, Sessions()) is None
    assert choose(box(name="ax", image="bx"), rules, Sessions()) is not None
    labelled = choose(box(labels={"agentcg.session": ""}), rules, Sessions())
    assert labelled is not None
    assert labelled.body.priority == 9


def test_an_image_cannot_raise_itself() -> None:
    labels = {"agentcg.session": "", "agentcg.priority": "100", "agentcg.guarantee": "64GiB"}
    choice = choose(box(labels=labels, image_labels=labels), (), Sessions())
    assert choice is not None
    assert choice.body.priority == 0
    assert choice.body.budget.guarantee is None
    # The person who started it may say something else than the image.
    mine = {**labels, "agentcg.priority": "4"}
    choice = choose(box(labels=mine, image_labels=labels), (), Sessions())
    assert choice is not None
    assert choice.body.priority == 4


@pytest.mark.parametrize("text", ["101", "-101", "x", "", "1.5", "٣", "9" * 50])
def test_a_bad_priority_is_said_and_not_used(text: str) -> None:
    labels = {"agentcg.session": "", "agentcg.priority": text, "agentcg.guarantee": "lots"}
    choice = choose(box(labels=labels), (), Sessions(priority=1))
    assert choice is not None
    assert choice.body.priority == 1
    assert choice.body.budget.guarantee is None
    assert len(choice.notes) == 2


@given(st.text())
def test_any_name_becomes_an_id_or_nothing(name: str) -> None:
    made = sanitized(name)
    assert made == "" or session_id(made) == made


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"privileged": True}, "privileged"),
        ({"cap_add": ("NET_ADMIN", "CAP_SYS_ADMIN")}, "CAP_SYS_ADMIN"),
        ({"cap_add": ("all",)}, "ALL"),
        ({"pid_mode": "host"}, "pid namespace"),
        ({"cgroupns_mode": "host"}, "cgroup namespace"),
        ({"writable_mounts": ("/sys/fs/cgroup",)}, "mounted writable"),
        ({"writable_mounts": ("/sys/fs/cgroup/agentcg.slice",)}, "mounted writable"),
        ({"writable_mounts": ("/",)}, "mounted writable"),
        ({"security_opt": ("writable-cgroups=true",)}, "write its own cgroups"),
    ],
)
def test_what_is_only_observed(facts: dict[str, Any], why: str) -> None:
    assert why in str(observe_reason(box(**facts)))


def test_a_plain_container_is_managed() -> None:
    facts: dict[str, Any] = {
        "cap_add": ("NET_ADMIN",),
        "cgroupns_mode": "private",
        "mounts": ("/sys/fs/cgroup", "/data"),
        "writable_mounts": ("/data", "/sys/fs/cgroup-not"),
        "security_opt": ("no-new-privileges",),
    }
    assert observe_reason(box(**facts)) is None
    assert warning(box(**facts)) is None


@pytest.mark.parametrize("mount", ["/var/run/docker.sock", "/run", "/", "/x/containerd.sock"])
def test_a_runtime_socket_is_warned_of(mount: str) -> None:
    assert mount in str(warning(box(mounts=(mount,))))


@pytest.mark.parametrize(
    ("init", "home"),
    [
        (f"/agentcg.slice/docker-{CID}.scope", f"agentcg.slice/docker-{CID}.scope"),
        (f"/agentcg.slice/docker-{CID}.scope/agentcg.agent", f"agentcg.slice/docker-{CID}.scope"),
        (f"/docker/{CID}", f"docker/{CID}"),
        (f"/m.slice/libpod-{CID}.scope/container", f"m.slice/libpod-{CID}.scope/container"),
        (
            f"/m.slice/libpod-{CID}.scope/container/agentcg.agent",
            f"m.slice/libpod-{CID}.scope/container",
        ),
    ],
)
def test_a_container_is_found_by_its_inits_cgroup(init: str, home: str) -> None:
    assert cgroup_of(init, CID, "agentcg.agent") == (home, None)


def test_an_init_that_moved_itself_is_odd() -> None:
    path, odd = cgroup_of(f"/docker/{CID}/init/x", CID, "agentcg.agent")
    assert path == f"docker/{CID}"
    assert "'init'" in str(odd)


def test_a_process_that_is_not_this_containers_is_refused() -> None:
    with pytest.raises(BadValueError, match="does not run on this host"):
        cgroup_of("/system.slice/ssh.service", CID, "agentcg.agent")
