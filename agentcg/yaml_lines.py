"""Where in a YAML document something is: for errors that name the line."""

from typing import Any

import yaml


def line(node: Any, location: tuple[int | str, ...]) -> int:  # noqa: ANN401 - a yaml node
    """The line of the deepest key or item on the way to `location` that the file has."""
    line = 0 if node is None else int(node.start_mark.line)
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(step)]
            if not found:
                break
            key, node = found[0]
            line = int(key.start_mark.line)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = int(node.start_mark.line)
    return line + 1


def twice(node: Any) -> list[tuple[int, str]]:  # noqa: ANN401 - a yaml node
    """Line and name of keys that a mapping has already: YAML would drop the first in silence."""
    found: list[tuple[int, str]] = []
    inner = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        inner = [value for _, value in node.value]
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:number]):
                found.append((int(key.start_mark.line) + 1, key.value))
    return found + [one for child in inner for one in twice(child)]


def mark_line(error: Exception, text: str) -> int:
    """The line at which reading stopped."""
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = getattr(error, "problem_mark", None)
    return 1 if mark is None else int(mark.line) + 1


def problem(error: Exception) -> str:
    """What the reader had to say."""
    return " ".join(str(getattr(error, "problem", None) or error).split())
