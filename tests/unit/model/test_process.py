"""What is kept of what a process was started with."""

from agentcg.model.process import VALUE, env_of, words_of


def test_a_value_that_is_too_long_is_nothing_of_ours() -> None:
    for length in (VALUE, VALUE + 1):
        env = env_of(b"A=b\0AGENT_RESOURCE_HINT=" + length * b"x" + b"\0TRACEPARENT=t\0")
        assert env["TRACEPARENT"] == "t"
        assert ("AGENT_RESOURCE_HINT" in env) is (length == VALUE)


def test_words_that_are_no_utf8_are_fit_to_be_kept() -> None:
    assert words_of(b"make\0\xff\xc3\xa9\0") == ("make", "\\xffé")
