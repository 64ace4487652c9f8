"""`agentcg hooks`: in, again, out; what others wrote stays, and nobody is tricked."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from agentcg.cli import hooks
from agentcg.cli.settings_file import edit
from agentcg.harness.wiring import WIRINGS
from tests.unit.cli.conftest import Run

Json = Any
OTHERS: Json = {
    "model": "x",
    "hooks": {
        "PreToolUse": [
            {"matcher": "Bash", "hooks": [{"type": "command", "command": "their acg hook"}]},
            {"hooks": [{"type": "http", "url": "http://127.0.0.1/"}], "of_tomorrow": 1},
        ],
        "Stop": [],
    },
    "env": {"A": "ü"},
}


@pytest.fixture
def acg(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "acg").touch(0o755)
    (folder / "acg-shell").symlink_to("acg")
    return folder / "acg"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def put(home: Path, harness: str, text: str) -> Path:
    path = home / WIRINGS[harness].user
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_claude_code_gets_every_event_and_the_prefix(cli: Run, home: Path, acg: Path) -> None:
    code, out, _ = cli("hooks", "install", "claude-code", "--home", str(home), "--acg", str(acg))
    path = home / ".claude/settings.json"
    assert (code, out) == (0, f"wrote {path}\n")
    one = {"type": "command", "command": f"{acg} hook claude-code", "timeout": 2}
    tool, other = [{"matcher": "Bash", "hooks": [one]}], [{"hooks": [one]}]
    assert json.loads(path.read_text()) == {
        "hooks": {
            "PreToolUse": tool,
            "PostToolUse": tool,
            "PostToolUseFailure": tool,
            "SessionStart": other,
            "SessionEnd": other,
        },
        "env": {"CLAUDE_CODE_SHELL_PREFIX": f"{acg}-shell"},
    }


@pytest.mark.parametrize("harness", WIRINGS)
@pytest.mark.parametrize("doc", [{}, OTHERS, {"a": {"b": [1, None, 2.5]}}])
def test_in_again_and_out_leaves_what_others_wrote(
    cli: Run, home: Path, acg: Path, harness: str, doc: Json
) -> None:
    before = json.dumps(doc, indent=4, ensure_ascii=False) + "\n"
    path = put(home, harness, before)
    where = ("--home", str(home))
    assert cli("hooks", "status", harness, *where)[0] == 1
    assert cli("hooks", "install", harness, *where, "--acg", str(acg))[0] == 0
    once = path.read_text()
    assert cli("hooks", "status", harness, *where)[0] == 0
    assert "nothing to change" in cli("hooks", "install", harness, *where, "--acg", str(acg))[1]
    # Another client takes the place of the first.
    assert cli("hooks", "install", harness, *where, "--acg", "/elsewhere/acg")[0] == 0
    assert path.read_text() == once.replace(str(acg), "/elsewhere/acg")
    assert cli("hooks", "uninstall", harness, *where)[0] == 0
    assert path.read_text() == before
    assert cli("hooks", "status", harness, *where)[0] == 1
    assert "nothing to change" in cli("hooks", "uninstall", harness, *where)[1]


def test_out_where_there_never_was_a_file_makes_none(cli: Run, home: Path) -> None:
    assert cli("hooks", "uninstall", "codex", "--home", str(home))[0] == 0
    assert list(home.iterdir()) == []


def test_a_prefix_of_others_is_not_taken_away(cli: Run, home: Path, acg: Path) -> None:
    text = json.dumps({"env": {"CLAUDE_CODE_SHELL_PREFIX": "/log"}})
    path = put(home, "claude-code", text)
    code, _, err = cli("hooks", "install", "claude-code", "--home", str(home), "--acg", str(acg))
    assert code != 0
    assert "is '/log' already" in err
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{// mine\n"a": 1}', "comments would be lost"),
        ('{"a": 1, "a": 2}', "a key is there twice"),
        ("[]", "no JSON object"),
        ('{"hooks": []}', "hooks is no object"),
        ('{"hooks": {"PreToolUse": {}}}', "hooks.PreToolUse is no list"),
        ('{"env": 5}', "env is no object"),
        ("[" * 100_000, "no plain JSON"),
    ],
)
def test_what_could_not_be_written_back_is_left_alone(
    cli: Run, home: Path, acg: Path, text: str, words: str
) -> None:
    path = put(home, "claude-code", text)
    code, _, err = cli("hooks", "install", "claude-code", "--home", str(home), "--acg", str(acg))
    assert code != 0
    assert words in " ".join(err.split())
    assert path.read_text() == text
    assert [one.name for one in path.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("what", ["file", "folder", "hard", "pipe"])
def test_nothing_but_a_plain_file_of_its_own_is_written(
    cli: Run, home: Path, acg: Path, tmp_path: Path, what: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "settings.json").write_text("{}")
    path = home / ".claude/settings.json"
    if what == "folder":
        path.parent.symlink_to(other)
    else:
        path.parent.mkdir(parents=True)
        if what == "file":
            path.symlink_to(other / "settings.json")
        elif what == "hard":
            path.hardlink_to(other / "settings.json")
        else:
            os.mkfifo(path)
    code, _, err = cli("hooks", "install", "claude-code", "--home", str(home), "--acg", str(acg))
    assert code != 0
    assert str(home) in "".join(err.split())
    assert (other / "settings.json").read_text() == "{}"


@pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs root")
def test_root_writes_a_users_file_for_the_user_and_no_strangers(
    cli: Run, home: Path, acg: Path
) -> None:
    os.chown(home, 1000, 1000)
    words = ("hooks", "install", "claude-code", "--home", str(home), "--acg", str(acg))
    assert cli(*words)[0] == 0
    path = home / ".claude/settings.json"
    for one in (path, path.parent):
        assert (one.stat().st_uid, one.stat().st_gid) == (1000, 1000)
    os.chown(path, 1001, 1001)
    code, _, err = cli("hooks", "uninstall", "claude-code", "--home", str(home))
    assert code != 0
    assert "belongs to uid 1001" in " ".join(err.split())


def test_the_mode_of_a_file_stays(home: Path) -> None:
    path = put(home, "codex", "{}")
    path.chmod(0o600)
    assert edit(home, ".codex/hooks.json", lambda doc: {**doc, "a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_elses_change_meanwhile_is_not_lost(home: Path) -> None:
    path = put(home, "codex", "{}")

    def change(doc: Json) -> Json:
        path.write_text('{"theirs": 1}')
        return {**doc, "ours": 1}

    with pytest.raises(Exception, match="somebody changed it just now"):
        edit(home, ".codex/hooks.json", change)
    assert path.read_text() == '{"theirs": 1}'
    assert [one.name for one in path.parent.iterdir()] == ["hooks.json"]


def test_options_that_contradict_each_other_or_lead_nowhere(
    cli: Run, home: Path, acg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("hooks", "install", "codex", "--managed", "--home", str(home))[0] != 0
    assert "--file" in cli("hooks", "install", "codex", "--managed")[2]
    assert cli("hooks", "install", "codex", "--home", str(home), "--acg", "bin/acg")[0] != 0
    acg.with_name("acg-shell").unlink()
    words = ("hooks", "install", "claude-code", "--home", str(home), "--acg", str(acg))
    assert "acg-shell: not there" in " ".join(cli(*words)[2].split())
    assert list(home.iterdir()) == []
    monkeypatch.chdir(home)
    assert cli("hooks", "install", "openhands", "--acg", str(acg))[0] == 0
    assert (home / ".openhands/hooks.json").exists()
    file = home / "x.json"
    assert cli("hooks", "install", "gemini", "--file", str(file), "--acg", str(acg))[0] == 0
    assert "BeforeTool" in json.loads(file.read_text())["hooks"]


def test_every_harness_can_be_named() -> None:
    assert {one.value for one in hooks.Harness} == set(WIRINGS)
