import sys
from pathlib import Path

import pytest

from agentcg.cli import mcp
from agentcg.errors import BadValueError
from tests.unit.cli.conftest import Run


def test_without_the_sdk_the_remedy_is_named(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "agentcg.cli.mcp_tools", raising=False)
    code, _, err = cli("mcp")
    assert (code, "pip install 'agentcg[mcp]'" in err) == (1, True)


def test_http_needs_a_token_and_a_token_http(cli: Run) -> None:
    assert cli("mcp", "--http", "0")[0] == cli("mcp", "--token-file", "x")[0] == 2


def test_a_token_is_made_once_and_a_bad_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    made = mcp._token(file)
    assert (len(made) >= 32, file.stat().st_mode & 0o777) == (True, 0o600)
    assert mcp._token(file) == made
    file.write_text("short\n")
    with pytest.raises(BadValueError, match="remove it"):
        mcp._token(file)


def test_a_token_that_others_can_read_or_have_put_there_is_none(tmp_path: Path) -> None:
    file, link = tmp_path / "token", tmp_path / "link"
    mcp._token(file)
    link.symlink_to(file)
    with pytest.raises(BadValueError, match="another file"):
        mcp._token(link)
    file.chmod(0o640)
    with pytest.raises(BadValueError, match="yours alone"):
        mcp._token(file)
