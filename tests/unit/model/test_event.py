"""Events that are told are events that are described."""

import ast
from pathlib import Path

from agentcg.model.event import ABOUT, Kind

PACKAGE = Path(__file__).parents[3] / "agentcg"


def told() -> dict[str, set[str]]:
    """From the code: each kind that is told or made, with the keys of its data."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            kinds = [
                arg.attr
                for top in node.args
                for arg in ast.walk(top)
                if isinstance(arg, ast.Attribute)
                and isinstance(arg.value, ast.Name)
                and arg.value.id == "Kind"
            ]
            data = [k.value for k in node.keywords if k.arg == "data"]
            keys = {
                key.value
                for one in data
                if isinstance(one, ast.Dict)
                for key in one.keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
            for kind in kinds:
                found.setdefault(kind, set()).update(keys)
    # `kind = Kind.A if frozen else Kind.B` reaches its call by name.
    return found


def test_every_kind_is_described() -> None:
    assert set(ABOUT) == set(Kind)


def test_the_data_that_is_told_is_what_is_described() -> None:
    found = told()
    assert found["CALL_OOM"]  # the scan sees something
    for name, keys in found.items():
        assert keys == set(ABOUT[Kind[name]].data), name
    silent = {kind.name for kind in Kind} - set(found)
    # Those come out of a table; tests/unit/control/test_gpu.py has their data.
    news = {kind.name for kind in Kind if kind.name.startswith("GPU_")}
    news -= {"GPU_PRESSURE", "GPU_DENIED"}
    assert silent == {"CALL_FROZEN", "CALL_THAWED"} | news
