import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.api import acg
from agentcg.api.controller import Role
from agentcg.errors import BadValueError, LimitError, UnavailableError
from agentcg.model.view import Placement
from tests.unit.api.fake import Running

BODY = b"O--memory\0O2g\0Agrep\0A\xff\0D/home\0EPATH=/bin\0T17\0"


def post(client: httpx2.Client, body: bytes = BODY, kind: str = acg.MEDIA_TYPE) -> httpx2.Response:
    return client.post("/v1/acg/run", content=body, headers={"content-type": kind})


def test_the_client_is_told_what_to_set_and_print(agent: httpx2.Client, server: Running) -> None:
    answer = post(agent)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == acg.MEDIA_TYPE
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.content == b"EA=1\0Mhello\0"
    assert server.controller.bodies == [
        [
            ("O", "--memory"),
            ("O", "2g"),
            ("A", "grep"),
            ("A", "\udcff"),
            ("D", "/home"),
            ("E", "PATH=/bin"),
            ("T", "17"),
        ]
    ]


def test_a_refusal_is_an_exit_code(agent: httpx2.Client, server: Running) -> None:
    server.controller.placement = Placement({}, ("no",), 126)
    assert post(agent).content == b"Mno\0X126\0"


@pytest.mark.parametrize("error", [BadValueError("no such size"), LimitError("no such size")])
def test_errors_of_the_daemon_stop_the_command(
    agent: httpx2.Client, server: Running, error: Exception
) -> None:
    server.controller.placement = error
    answer = post(agent)
    assert answer.status_code == 200
    assert answer.content == b"Magentcg: no such size\0X125\0"


def test_a_daemon_that_cannot_lets_the_command_run(agent: httpx2.Client, server: Running) -> None:
    server.controller.placement = UnavailableError("starting")
    assert post(agent).status_code == 503
    server.controller.role = Role.NOBODY
    answer = post(agent)
    assert answer.status_code == 503
    assert "not in a session" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"Axy", b"Axy\0\0", b"Qx\0", b"\0", "äx\0".encode()])
def test_what_is_not_in_the_format_is_refused(agent: httpx2.Client, body: bytes) -> None:
    assert post(agent, body).status_code == 400


def test_another_content_type_is_refused(agent: httpx2.Client) -> None:
    assert post(agent, kind="application/json").status_code == 415


TEXT = st.text(st.characters(exclude_characters="\0"))


@given(
    st.lists(st.tuples(st.sampled_from("OADET"), st.binary().map(lambda b: b.replace(b"\0", b""))))
)
def test_any_bytes_survive_parsing(records: list[tuple[str, bytes]]) -> None:
    body = b"".join(tag.encode() + raw + b"\0" for tag, raw in records) or b"A\0"
    parsed = acg.parse(body)
    again = b"".join(
        (tag + text).encode("utf-8", "surrogateescape") + b"\0" for tag, text in parsed
    )
    assert again == body


@given(st.dictionaries(st.text(), st.text()), st.lists(st.text(st.characters())))
def test_no_text_makes_a_record_of_its_own(env: dict[str, str], messages: list[str]) -> None:
    encoded = acg.encode(Placement(env, tuple(messages), 5))
    assert encoded.count(b"\0") == len(env) + len(messages) + 1
    assert encoded.endswith(b"\0X5\0") or encoded == b"X5\0"
