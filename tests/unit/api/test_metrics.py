import httpx2
from prometheus_client.parser import text_string_to_metric_families

from agentcg.model.metered import Metered, Totals
from agentcg.model.outcome import Cause
from tests.unit.api.fake import Running


def test_a_scrape_can_be_parsed_and_names_no_call(admin: httpx2.Client, server: Running) -> None:
    admin.post("/v1/sessions/s-home/calls", json={})
    answer = admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["agentcg_calls", "running"] == 1
    assert samples["agentcg_calls", "frozen"] == 0
    assert samples["agentcg_daemon", "fail_opens"] == 2
    assert samples["agentcg_mechanism_works", "io"] == 0
    assert samples["agentcg_host_memory_bytes",] == 2**34
    assert "c-0" not in answer.text
    assert "s-home" not in answer.text


def test_sessions_have_series_from_their_opening_on(admin: httpx2.Client, server: Running) -> None:
    totals = Totals(cpu=1.5, waited=0.25, oom_kills=2)
    server.controller.meters.append(
        Metered("s-1", 1, 2**20, None, totals, 3, 4, {cause: 0 for cause in Cause})
    )
    text = admin.get("/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["agentcg_session_memory_bytes", "s-1"] == 2**20
    assert ("agentcg_session_memory_limit_bytes", "s-1") not in samples
    assert samples["agentcg_session_cpu_seconds_total", "s-1"] == 1.5
    assert samples["agentcg_session_memory_waiting_seconds_total", "s-1"] == 0.25
    assert samples["agentcg_session_oom_kills_total", "s-1"] == 2
    assert samples["agentcg_session_calls_ended_total", "oom", "s-1"] == 0
    assert "_created" not in text


def test_a_session_may_not_scrape(agent: httpx2.Client) -> None:
    assert agent.get("/metrics").status_code == 403
