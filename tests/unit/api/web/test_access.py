"""Links and tokens; the clock is given."""

from agentcg.api.web.access import LINK_FOR, MOST, TOKEN_FOR, Access


def entered(access: Access, now: float) -> str:
    token = access.enter(access.link(now).partition("#enter=")[2], now)
    assert token is not None
    return token


def test_a_link_opens_once() -> None:
    access = Access(7)
    url, _, secret = access.link(100).partition("#enter=")
    assert url == "http://127.0.0.1:7/ui"
    assert len(secret) >= 43  # 256 bits
    token = access.enter(secret, 101)
    assert token is not None
    assert token != secret
    assert access.left(token, 102)
    assert access.enter(secret, 102) is None
    assert not access.left(secret, 102)
    assert access.enter(token, 102) is None


def test_a_link_and_a_token_hold_for_a_time() -> None:
    access = Access(7)
    secret = access.link(100).partition("#enter=")[2]
    assert access.enter(secret, 100 + LINK_FOR) is None
    token = access.enter(secret, 100 + LINK_FOR - 1)
    assert token is not None
    until = 100 + LINK_FOR - 1 + TOKEN_FOR
    assert access.left(token, until - 1)
    assert not access.left(token, until)


def test_what_is_held_is_bounded_and_the_oldest_goes() -> None:
    access = Access(7)
    tokens = [entered(access, 5) for _ in range(MOST + 1)]
    assert [access.left(one, 6) for one in tokens] == [0, *[TOKEN_FOR - 1] * MOST]
    secrets = [access.link(5).partition("#enter=")[2] for _ in range(MOST + 1)]
    assert access.enter(secrets[0], 6) is None
    assert access.enter(secrets[1], 6) is not None


def test_rubbish_is_no_secret_and_none_is_kept() -> None:
    access = Access(7)
    token = entered(access, 5)
    for rubbish in ("", "x", token[:-1], token + "x", "\udcff", "x" * 100_000):
        assert access.enter(rubbish, 6) is None
        assert not access.left(rubbish, 6)
    assert token not in repr(access)
