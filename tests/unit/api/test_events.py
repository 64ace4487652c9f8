import httpx2

from agentcg.api.controller import Role
from tests.unit.api.fake import Running


def read(client: httpx2.Client, count: int, **kwargs: object) -> list[httpx2.ServerSentEvent]:
    with client.stream("GET", "/v1/events", **kwargs) as response:  # type: ignore[arg-type]
        assert response.headers["content-type"].startswith("text/event-stream")
        found = []
        for event in httpx2.EventSource(response):
            found.append(event)
            if len(found) == count:
                break
        return found


def test_events_carry_their_number_kind_and_record(agent: httpx2.Client) -> None:
    events = read(agent, 3, params={"after": 0})
    assert [event.id for event in events] == ["1", "2", "3"]
    assert events[0].event == "daemon"
    assert events[0].json() == {
        "seq": 1,
        "at": 1.0,
        "kind": "daemon",
        "session": None,
        "call": None,
        "text": "e1",
        "data": {},
    }


def test_a_reader_resumes_behind_the_last_event_it_had(agent: httpx2.Client) -> None:
    events = read(agent, 1, headers={"Last-Event-ID": "2"}, params={"after": 0})
    assert [event.id for event in events] == ["3"]


def test_a_refusal_comes_before_the_stream(agent: httpx2.Client, server: Running) -> None:
    server.controller.role = Role.NOBODY
    assert agent.get("/v1/events").status_code == 403
    assert agent.get("/v1/events", headers={"Last-Event-ID": "x"}).status_code == 422


def test_the_subscription_ends_with_the_reader(agent: httpx2.Client, server: Running) -> None:
    import time

    read(agent, 1, params={"after": 0})
    end = time.monotonic() + 30
    while server.controller.streams:
        assert time.monotonic() < end
        time.sleep(0.01)
