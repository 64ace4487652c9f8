"""What a JSON schema says of its keys, as rows of a table and as commented YAML."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

Json = Mapping[str, Any]
_WIDTH = 32

COLUMNS = ("key", "value", "default", "meaning")


def rows(section: Json, schema: Json, prefix: str = "") -> Iterator[Sequence[str]]:
    """A row for each key of a section, those of inner sections and of list items included."""
    for name, prop in section["properties"].items():
        inner = _present(prop, schema)
        if "properties" in inner:
            yield from rows(inner, schema, f"{prefix}{name}.")
            continue
        yield row(prefix + name, prop, schema)
        item = resolved(prop.get("items", {}), schema)
        if "properties" in item:
            yield from rows(item, schema, f"{prefix}{name}[].")


def fields(section: Json, schema: Json) -> Iterator[Sequence[str]]:
    """A row for each member of a body, inner bodies as links."""
    for name, prop in section["properties"].items():
        ref = re.search(r"\w+Body", json.dumps(prop))
        link = f"[{ref[0]}](#{ref[0].lower()})" if ref else _value(prop, schema)
        default = "required" if name in section.get("required", ()) else _default(prop)
        yield (f"`{name}`", link, "" if ref else default, prop.get("description", ""))


def row(key: str, prop: Json, schema: Json) -> Sequence[str]:
    """Key, value, default and meaning of one key."""
    return (f"`{key}`", _value(prop, schema), _default(prop), prop.get("description", ""))


def of_path(path: Sequence[str], schema: Json) -> Sequence[str]:
    """Value, default and meaning of a key inside inner bodies; no default is left empty."""
    for step in path[:-1]:
        schema = {**schema, **_present(schema["properties"][step], schema)}
    _, value, default, meaning = row("", schema["properties"][path[-1]], schema)
    return (value, "" if default == "`null`" else default, meaning)


def _value(prop: Json, schema: Json) -> str:
    """The type and the range of a value."""
    prop = _present(prop, schema)
    if "enum" in prop:
        return ", ".join(f"`{one}`" for one in prop["enum"])
    if "const" in prop:
        return f"`{prop['const']}`"
    least = prop.get("minimum", prop.get("ge", prop.get("minLength")))
    most = prop.get("maximum", prop.get("le", prop.get("maxLength")))
    above = prop.get("exclusiveMinimum", prop.get("gt"))
    words = str(prop["type"])
    if prop["type"] in {"integer", "number"} and "examples" in prop:
        words = f"{words} or text such as `{prop['examples'][0]}`"
    bounds = [
        f"above {above}" if above is not None else "",
        f"from {least}" if least is not None else "",
        f"to {most}" if most is not None else "",
    ]
    unit = " characters" if prop["type"] == "string" else ""
    range_ = " ".join(bound for bound in bounds if bound)
    return f"{words}, {range_}{unit}" if range_ else words


def _present(prop: Json, schema: Json) -> Json:
    """What a key holds where it is not null."""
    prop = resolved(prop, schema)
    if "anyOf" not in prop:
        return prop
    (found,) = (resolved(one, schema) for one in prop["anyOf"] if one.get("type") != "null")
    return found


def _default(prop: Json) -> str:
    return f"`{_written(prop)}`" if "default" in prop else ""


def _written(prop: Json) -> str:
    """A default as one would write it."""
    value = prop["default"]
    if isinstance(value, str):
        return value or '""'
    durations = ("90s", "2s")
    if isinstance(value, float) and prop.get("examples", [""])[0] in durations:
        return f"{value / 60:g}m" if value >= 120 else f"{value:g}s"
    return json.dumps(value)


def commented(name: str, prop: Json, schema: Json, pad: str = "") -> Iterator[str]:
    """A key at its default and what is below it, every line commented out."""
    section = resolved(prop, schema)
    about = prop.get("description") or section.get("description", "")
    first, *more = about.splitlines()
    if "properties" not in section:
        value = _value(prop, schema)
        choice = f" ({value.replace('`', '')})" if "enum" in section else ""
        yield f"#{pad}{name}: {_written(prop)}".ljust(_WIDTH) + f" # {first}{choice}"
        for example in prop.get("examples", []) if prop.get("type") == "array" else []:
            text = yaml.safe_dump(example, default_flow_style=True, sort_keys=False).strip()
            yield f"#{pad}".ljust(_WIDTH) + f" # - {text}"
        return
    yield f"#{pad}{name}:".ljust(_WIDTH) + f" # {first}"
    yield from (f"#{pad}  # {line}" for line in more if line)
    for key, inner in section["properties"].items():
        yield from commented(key, inner, schema, pad + "  ")


def resolved(prop: Json, schema: Json) -> Json:
    """What a `$ref` stands for."""
    for step in prop.get("$ref", "#").split("/")[1:]:
        schema = schema[step]
    return schema if "$ref" in prop else prop
