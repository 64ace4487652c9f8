"""What is kept of a command line."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.intent.redact import KEEP, Store, stored

SECRET = "hunter2/XYZ+9="


@pytest.mark.parametrize(
    "command",
    [
        f"PASSWORD={SECRET} run",
        f"AWS_SECRET_ACCESS_KEY={SECRET} run",
        f"export GITHUB_TOKEN='{SECRET}' && run",
        f'export GITHUB_TOKEN="two {SECRET}" && run',
        f"db_passwd : {SECRET}",
        f"tool --password {SECRET} go",
        f"tool --password '{SECRET} and more' go",
        f"tool --api-key={SECRET}",
        f"tool --apikey {SECRET}",
        f"tool --client-secret {SECRET}",
        f"tool --auth-token {SECRET}",
        f"openssl rsa -passin pass:{SECRET}",
        f'curl -H "Authorization: Bearer {SECRET}" https://h',
        f"curl -H 'authorization: basic {SECRET}' https://h",
        f'curl -H "X-Auth: {SECRET}" https://h',
        f"curl -u me:{SECRET} https://h",
        f"curl --user 'me:{SECRET}' https://h",
        f"curl https://h/?access_token={SECRET}",
        f'curl -d \'{{"password": "{SECRET} more"}}\' https://h',
        f'curl -d "{{\\"password\\": \\"{SECRET} more\\"}}" https://h',
        f"bearer {SECRET}",
        f"TOKEN= --password {SECRET}",
        f"run --no-auth --password {SECRET}",
        f"token: password: {SECRET}",
        f"token: bearer --password {SECRET}",
        "git clone https://me:hunter2@host/r",
        "git clone https://me:hunter2@9@host/r",
        "git clone https://me:hunter2/9@host/r",
        "git clone https://hunter2@host/r",
        "psql postgres://u:hunter2@db:5432/x",
        "echo -----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter2\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_is_not_kept(command: str) -> None:
    kept = stored(command, "redacted")
    assert kept is not None
    assert "hunter2" not in kept
    assert "more" not in kept
    assert "***" in kept


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnop",
        "sk-ant-api03-abcdefghijkl",
        "ghp_abcdefghijklmnop",
        "github_pat_abcdefghijkl",
        "glpat-abcdefghijklmn",
        "xoxb-123456789012",
        "AKIAIOSFODNN7EXAMPLE",
        "hf_abcdefghijklmnop",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    ],
)
def test_a_key_of_a_known_shape_is_not_kept_wherever_it_stands(key: str) -> None:
    assert stored(f"run {key} now", "redacted") == "run *** now"


@pytest.mark.parametrize(
    "command",
    [
        "pytest tests/unit -q --maxfail=1",
        "git log --author=Jo -n 3",
        "pytest -k skip_these_tests_now",
        "curl http://localhost:8080/a?b=c",
        "cat tokens.txt passwords.txt",
        "docker run --user 1000 image",
    ],
)
def test_a_command_without_a_secret_is_kept_as_it_is(command: str) -> None:
    assert stored(command, "redacted") == command


def test_what_stands_around_a_secret_is_kept() -> None:
    assert stored("A=1 TOKEN=x make -j4", "redacted") == "A=1 TOKEN=*** make -j4"
    assert stored('curl -H "Authorization: Bearer x"', "redacted") == (
        'curl -H "Authorization: Bearer ***'
    )


def test_a_secret_across_the_cut_leaves_nothing_of_itself() -> None:
    for shift in range(40):
        command = "a" * (KEEP - shift) + " https://me:hunter2@host/"
        kept = stored(command, "redacted")
        assert kept is not None
        assert "hun" not in kept


def test_what_is_kept_follows_the_configuration() -> None:
    command = "TOKEN=x make"
    assert stored(command, "none") is None
    assert stored(None, "full") is None
    assert stored(command, "full") == command
    assert stored(command, "hash") == "sha256:119c2a32a46642c5"
    assert stored(command, "hash") != stored("TOKEN=y make", "hash")


def test_a_long_command_is_cut() -> None:
    for store in ("full", "redacted"):
        assert stored("x y" * 40_000, store) == ("x y" * 40_000)[:KEEP]


@pytest.mark.parametrize(
    "unit",
    ["pass-", "a-", "-", "pass=", "pass ", '"', 'pass"', "\\", "://", "://a:", "bearer ", "-u a:",
     "sk-", "-----BEGIN PRIVATE KEY-----", "pass= ", "api_", "author"],
)  # fmt: skip
def test_a_hostile_command_does_not_hold_up_the_daemon(unit: str) -> None:
    command = unit * (32768 // len(unit))
    start = time.process_time()
    stored(command, "redacted")
    stored("pass" + " " * 32768, "redacted")
    assert time.process_time() - start < 2


ANY_TEXT = st.text(st.characters(codec=None)) | st.lists(
    st.sampled_from(["token", "=", " ", '"', "'", "://", "@", ":", "-u", "\\", "\udc80", "\0", "x"])
).map("".join)


@given(ANY_TEXT, st.sampled_from(["none", "hash", "redacted", "full"]))
def test_any_text_can_be_kept_and_written_as_json(command: str, store: Store) -> None:
    kept = stored(command, store)
    if kept is not None:
        assert json.loads(json.dumps(kept, ensure_ascii=False).encode()) == kept


@given(ANY_TEXT)
def test_the_value_after_a_password_option_never_stays(before: str) -> None:
    kept = stored(f"{before} --password hunter2", "redacted")
    assert kept is not None
    assert "hunter2" not in kept
