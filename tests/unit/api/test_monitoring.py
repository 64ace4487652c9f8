"""The shipped dashboard and alert rules speak of metrics that there are, with labels they have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentcg.api.metrics import Snapshot
from agentcg.model.metered import Metered
from agentcg.model.outcome import Cause
from agentcg.model.view import Check, HostView

FILES = Path(__file__).parents[3] / "daemon/monitoring"
_NAME = re.compile(r"(agentcg_[a-z_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"([a-z_]+)(=~|=)\"([^\"]*)\"")
# What Prometheus puts there itself.
_OWN = {"instance", "job"}


def known() -> dict[str, dict[str, set[str]]]:
    """Labels and their values by the name of the metric."""
    figures = ("fail_opens", "hook_faults", "journal_failed_writes", "trace_samples_lost")
    host = HostView(
        *("", "", "", 0, 0), (Check("m", True, ""),), dict.fromkeys((*figures, "observer_lost"), 0)
    )
    some = Metered("s-1", 0, 0, 0, ended=dict.fromkeys(Cause, 0))
    found: dict[str, dict[str, set[str]]] = {}
    for family in Snapshot(host, (), (some,)).collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FILES / "prometheus-rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    board = json.loads((FILES / "grafana-dashboard.json").read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


@pytest.mark.parametrize("expression", list(expressions()))
def test_each_metric_label_and_value_exists(expression: str) -> None:
    used = _NAME.findall(expression)
    assert used or expression.startswith(("time() - node_textfile_mtime_seconds{", "up{"))
    for name, matchers in used:
        assert name in known(), name
        for label, how, value in _LABEL.findall(matchers):
            if label in _OWN or value.startswith("$"):
                continue
            assert label in known()[name]
            values = value.split("|") if how == "=~" else [value]
            assert set(values) <= known()[name][label]


def test_a_daemon_that_is_gone_is_told_of_in_the_job_that_the_documents_name() -> None:
    (down,) = (rule["expr"] for rule in rules() if rule["alert"] == "AgentcgDown")
    job = re.fullmatch(r'up\{job="(\w+)"\} == 0', down)
    assert job is not None
    assert f"Call that job `{job[1]}`" in (FILES.parents[1] / "docs/howto/export.md").read_text()


def test_each_alert_has_a_severity_and_a_summary() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"]["summary"]
