"""A report, taken apart: its elements, whether they are closed, its style."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from typing_extensions import override

_VOID = {"meta", "br"}
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_DECLARED = re.compile(r"(--[a-z]+|[a-z][a-z-]*)\s*:\s*[^:;{}]+")


@dataclass
class Document(HTMLParser):
    """All elements of a document, by name, and its text."""

    source: str
    found: dict[str, list[dict[str, str | None]]] = field(default_factory=dict)
    text: str = ""
    style: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.found.setdefault(tag, []).append(dict(attrs))
        if tag not in _VOID:
            self._open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data + " "

    def classes(self) -> set[str]:
        """Of all elements."""
        every = [attrs for found in self.found.values() for attrs in found]
        return {word for attrs in every for word in (attrs.get("class") or "").split()}


def declarations(css: str) -> list[str]:
    """Every declaration of a sheet with rules, and media around some; what is no such fails."""
    flat = re.sub(r"@media [^{}]+\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", css)
    assert _RULE.sub("", flat).strip() == "", _RULE.sub("", flat)
    found = []
    for selector, body in _RULE.findall(flat):
        assert re.fullmatch(r"[.:+a-z0-9, \n-]+", selector.strip()), selector
        assert not body.strip() or body.strip().endswith(";"), body
        for one in body.split(";")[:-1]:
            assert _DECLARED.fullmatch(one.strip()), one
            found.append(one.strip())
    return found
