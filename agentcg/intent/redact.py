"""What is kept of a command line: nothing, a hash, the line without its secrets, or all of it.

The text is hostile and this runs on the event loop, so no pattern may backtrack: every repetition
is possessive or bounded, and each starts once per word.
"""

import hashlib
import re
from typing import Literal

Store = Literal["none", "hash", "redacted", "full"]
KEEP = 4096
# A whole word (its dashes included) in which a sensitive one occurs, as in AWS_SECRET_ACCESS_KEY.
_NAME = (
    r"(?<![\w-])(?=[\w-]*?(?:pass|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential|auth(?!ors?(?![a-z]))))[\w-]++"
)
_SCHEME = r"(?:(?:bearer|basic|digest|token)\s++(?!-))?+"
# A blank, unless an option or another name follows: then this one has no value, that one has.
_BLANK = rf"\s++(?!-|{_NAME}[=:]\s)"
_VALUE = r"""(?:\\*+"[^"]*+"?\S*+|\\*+'[^']*+'?\S*+|\S++)"""
_KEYS = r"sk-|[rs]k_|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|AIza|hf_|npm_|pypi-|eyJ"
_PATTERNS = (
    # NAME=value, name: value, "name": "value", Authorization: Bearer value
    re.compile(rf"""({_NAME}[\\"']*+\s*+[=:](?:{_BLANK})?+{_SCHEME}){_VALUE}""", re.IGNORECASE),
    # --name value
    re.compile(rf"((?<!\S)(?=-){_NAME}{_BLANK}){_VALUE}", re.IGNORECASE),
    re.compile(rf"(\bbearer\s++){_VALUE}", re.IGNORECASE),
    # curl -u name:value
    re.compile(rf"((?<!\S)(?:-u|--user|--proxy-user)[\s=]['\"]?[^\s:'\"]*+:){_VALUE}"),
    # scheme://name:value@host, scheme://value@host
    re.compile(r"(://)(?:[^\s/?#]{1,256}|[^\s/@:]{0,64}:[^\s@]{1,256})(?=@)"),
    re.compile(rf"((?<![A-Za-z0-9]))(?:{_KEYS})[-_.A-Za-z0-9]{{12,}}+"),
    re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL),
)


def stored(command: str | None, store: Store) -> str | None:
    """Cut a command line down to what the configuration allows to be kept."""
    if command is None or store == "none":
        return None
    if store == "hash":
        return "sha256:" + hashlib.sha256(command.encode("utf-8", "replace")).hexdigest()[:16]
    if store == "redacted":
        # Before it is cut: of a secret at the cut only the head would remain, and match nothing.
        for pattern in _PATTERNS:
            command = pattern.sub(r"\1***", command)
    # Lone surrogates (argv that is not UTF-8) cannot be written to JSON.
    return command[:KEEP].encode("utf-8", "backslashreplace").decode("utf-8")
