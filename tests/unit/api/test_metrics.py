import httpx2
from prometheus_client.parser import text_string_to_metric_families

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


def test_a_session_may_not_scrape(agent: httpx2.Client) -> None:
    assert agent.get("/metrics").status_code == 403
