"""The configuration file: defaults, and errors that name file and line."""

import re
from pathlib import Path

import pytest

from agentcg import settings
from agentcg.errors import ConfigError
from agentcg.model.rule import DockerRule
from agentcg.model.session import Undeclared
from agentcg.model.wire import BudgetBody, SessionBody
from agentcg.settings import Settings, load

SHIPPED = Path(__file__).parents[2] / "daemon/config/agentcg.yaml"


def uncommented(text: str) -> str:
    """The file with the '#' taken off every key; what else is commented stays so."""
    return re.sub(r"^#(?=( {2})*[a-z_]+:)", "", text, flags=re.MULTILINE)


def write(where: Path, text: str) -> Path:
    path = where / "a.yaml"
    path.write_text(text)
    return path


def refused(where: Path, text: str) -> list[str]:
    """The lines of the error that a file gives, without the file's name."""
    path = write(where, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    lines = caught.value.message.splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def test_the_shipped_file_changes_nothing() -> None:
    assert load(SHIPPED) == Settings()


def test_the_shipped_file_shows_every_key_at_its_default(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, uncommented(SHIPPED.read_text())))
    assert loaded == Settings()
    # Every section and key is there, not only right where it is there.
    assert loaded.model_fields_set == set(Settings.model_fields)
    for name in Settings.model_fields:
        section = getattr(loaded, name)
        if isinstance(section, settings.Section):
            assert section.model_fields_set == set(type(section).model_fields), name
    for budget in (loaded.sessions.budget, loaded.self_sessions.budget):
        assert budget.model_fields_set == set(type(budget).model_fields)


def test_the_shipped_files_examples_of_rules_are_valid(tmp_path: Path) -> None:
    example, other = re.findall(r"# - (\{.*\})", SHIPPED.read_text())
    text = f"docker:\n  rules:\n  - {example}\nhooks:\n  rules:\n  - {other}\n"
    loaded = load(write(tmp_path, text))
    assert loaded.docker.rules[0].image == "swe-*"
    assert loaded.docker.rules[0].budget.guarantee == 2**31
    assert loaded.hooks.rules[0].command == "*pytest*"
    assert loaded.hooks.rules[0].memory.limit == 2**32


@pytest.mark.parametrize("key", ["calls", "store_commands"])
def test_every_key_of_the_shipped_file_can_be_uncommented_by_itself(
    tmp_path: Path, key: str
) -> None:
    blocks = uncommented(SHIPPED.read_text()).split("\n\n")
    (block,) = [block for block in blocks if block.startswith(f"{key}:")]
    assert load(write(tmp_path, block)) == Settings()


def test_units_are_read_and_what_is_not_named_stays(tmp_path: Path) -> None:
    text = """
paths: {run: /tmp/run}
calls:
  memory_limit: 2GiB
  deadline: 10m
  linger_kill: 0
sessions:
  budget: {guarantee: 512MiB, calls: 8}
  undeclared: observe
docker:
  rules:
    - {image: "swe-*", priority: 10}
store_commands: hash
"""
    loaded = load(write(tmp_path, text))
    assert loaded.paths.run == Path("/tmp/run")
    assert loaded.paths.state == Path("/var/lib/agentcg")
    assert (loaded.calls.memory_limit, loaded.calls.deadline) == (2**31, 600.0)
    assert (loaded.calls.linger_kill, loaded.calls.pids) == (0.0, 4096)
    assert (loaded.sessions.budget.guarantee, loaded.sessions.budget.calls) == (2**29, 8)
    assert loaded.sessions.undeclared is Undeclared.OBSERVE
    assert loaded.docker.rules == (DockerRule(image="swe-*", priority=10),)
    assert loaded.store_commands == "hash"


def test_a_session_that_does_not_say_gets_the_configured_defaults(tmp_path: Path) -> None:
    text = "sessions: {priority: 7, budget: {memory: 1GiB, calls: 9}, undeclared: observe}"
    defaults = load(write(tmp_path, text)).sessions
    silent = defaults.fill(SessionBody(runtime="bare", name="n"))
    assert (silent.priority, silent.budget, silent.name) == (7, defaults.budget, "n")
    assert silent.undeclared is Undeclared.OBSERVE
    said = SessionBody(
        runtime="bare", priority=0, budget=BudgetBody(memory=5), undeclared=Undeclared.CAP
    )
    filled = defaults.fill(said)
    assert (filled.priority, filled.undeclared) == (0, Undeclared.CAP)
    assert (filled.budget.memory, filled.budget.calls) == (5, 9)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")) == Settings()
    assert load(write(tmp_path, "# nothing\n---\n")) == Settings()


def test_only_the_default_file_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(ConfigError, match=r"none.yaml: no such file; name an existing one"):
        load(missing)
    monkeypatch.setattr(settings, "DEFAULT_PATH", missing)
    assert load(missing) == Settings()


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"a.yaml: .*make it readable UTF-8 text"):
        load(path)
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("calls:\n  pids: 1\n", "2: calls.pids: Input should be greater"),
        ("calls:\n  pids: true\n", "2: calls.pids: write a number (got True)"),
        ("\n\ncalls:\n  memory_limit: 5x\n", "4: calls.memory_limit: '5x' is not a usable size"),
        ("calls:\n  # why\n  deadline: .nan\n", "3: calls.deadline: nan is not a usable duration"),
        ("calls:\n  deadline: 0\n", "2: calls.deadline: Input should be greater than 0 (got 0)"),
        ("calls:\n", "1: calls: Input should be a valid dictionary"),
        ("calls: 5\n", "1: calls: Input should be a valid dictionary"),
        ("cals:\n  pids: 5\n", "1: cals: Extra inputs are not permitted"),
        ("calls:\n  pids: 5\n  pidz:\n    a: 1\n", "3: calls.pidz: Extra inputs"),
        ("docker: {enabled: maybe}\n", "1: docker.enabled: Input should be a valid boolean"),
        ("sessions:\n  undeclared_share: 1.5\n", "2: sessions.undeclared_share: Input should be"),
        ("sessions:\n  undeclared_share: .nan\n", "2: sessions.undeclared_share: Input should be"),
        ("sessions:\n  budget:\n    calls: 257\n", "3: sessions.budget.calls: Input should be"),
        ("sessions:\n\n  budget:\n    x: 1\n", "4: sessions.budget.x: Extra inputs"),
        (
            "docker:\n  rules:\n  - {image: a}\n  - priority: 1000\n",
            "4: docker.rules.1.priority: Input should be less than",
        ),
        ("docker:\n  rules:\n  - a\n  - b: 1\n", "3: docker.rules.0: Input should be a valid"),
        (
            "hooks:\n  rules:\n  - command: make\n    memory:\n      limit: lots\n",
            "5: hooks.rules.0.memory.limit: 'lots' is not a usable size",
        ),
        ("hooks:\n  rules:\n  - {pids: 5}\n", "3: hooks.rules.0.command: Field required"),
        ("hooks:\n  rules:\n  - command: a\n    tool: x\n", "4: hooks.rules.0.tool: Extra"),
        ("store_commands: some\n", "1: store_commands: Input should be 'none', 'hash'"),
        ("\n- a\n- b\n", "2: document: Input should be a valid dictionary"),
        ("\njust words\n", "2: document: Input should be a valid dictionary"),
        ("calls: {}\n5: x\n", "2: 5: "),
        ("calls:\n  pids: 5\n pids: 6\n", "3: not YAML: "),
        ("calls:\n\tpids: 5\n", "2: not YAML: found character '\\t'"),
        ("a: [\n", "2: not YAML: "),
        ("calls:\n  pids: 5\n\x01", "3: not YAML: "),
        ("calls: *none\n", "1: not YAML: found undefined alias"),
        ("calls: !!python/object:os.system {}\n", "1: not YAML: could not determine"),
        ("calls:\n  pids: 2024-99-99\n", "1: not YAML: month must be in 1..12"),
        ("a: &x [*x]\n", "1: not YAML: maximum recursion depth"),
        ("calls:\n  pids: 5\nhost: {}\ncalls:\n  pids: 6\n", "4: calls: is there twice; keep one"),
        ("calls:\n  pids: 5\n  pids: 6\n", "3: pids: is there twice; keep one"),
    ],
)
def test_an_error_is_one_line_with_file_line_and_key(tmp_path: Path, text: str, line: str) -> None:
    (told, *more) = refused(tmp_path, text)
    assert told.startswith(line)
    if "rules.0" not in line:
        assert not more


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    lines = refused(tmp_path, "calls:\n  pids: 1\njournal:\n  keep: -1\nx: 1\n")
    assert [line.split(": ")[:2] for line in lines] == [
        ["2", "calls.pids"],
        ["4", "journal.keep"],
        ["5", "x"],
    ]


def test_a_value_of_any_length_is_cut(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, f"store_commands: {'a' * 10_000}\n")
    assert len(line) < 300
