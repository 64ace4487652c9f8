"""The class of a command, by which calls are compared: "git status", "pytest", "npm run".

Made from what is stored of a command line, so it never tells more than that. The text is hostile:
only its beginning is looked at, and what is no plain word names no class.
"""

import re

_LOOKED_AT = 512
# Words of a shell line: bare, or with quotes around them.
_WORD = re.compile(r"""'[^']*+'?|"[^"]*+"?|[^\s'";&|()<>]++|[;&|()<>\n]""")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+=")
_END = frozenset(";&|()<>\n")
# They run what comes behind them; some take a word of their own first.
_BEFORE = {"sudo": 0, "env": 0, "time": 0, "nice": 0, "nohup": 0, "exec": 0, "command": 0}
_BEFORE |= {"timeout": 1, "stdbuf": 0, "setsid": 0, "xargs": 0, "acg": 1, "uvx": 0, "npx": 0}
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash"})
# Their first word says what they do.
_MANY = frozenset(
    {"git", "npm", "pnpm", "yarn", "pip", "pip3", "uv", "poetry", "cargo", "go", "docker", "make"}
    | {"apt", "apt-get", "conda", "kubectl", "gh", "dotnet", "mvn", "gradle", "bundle", "systemctl"}
)
_PYTHON = re.compile(r"python[0-9.]*")
# They only lead to what is meant.
_LEADS = frozenset({"cd", "set", "export", "source", ".", "true", ":", "pushd", "popd"})
_DEEP = 4


def kind_of(command: str | None, tool: str) -> str:
    """The class of a stored command; the tool's name where it has none."""
    found = None if command is None or command.startswith("sha256:") else _kind(command, _DEEP)
    return found or (tool if _PLAIN.fullmatch(tool) else "other")


def _kind(command: str, deep: int) -> str | None:
    words = _WORD.findall(command[:_LOOKED_AT])
    found = [kind for simple in _simple(words) if (kind := _of_simple(simple, deep)) is not None]
    meant = [kind for kind in found if kind not in _LEADS]
    return next(iter(meant or found), None)


def _simple(words: list[str]) -> list[list[str]]:
    """The simple commands that a line consists of."""
    found: list[list[str]] = [[]]
    for word in words:
        if word in _END:
            found.append([])
        else:
            found[-1].append(word)
    return [one for one in found if one]


def _of_simple(words: list[str], deep: int) -> str | None:
    position = 0
    while position < len(words):
        word = words[position].strip("'\"")
        name = word.rpartition("/")[2]
        if _ASSIGNMENT.match(word) or word.startswith("-"):
            position += 1
        elif name in _BEFORE:
            position += 1 + _BEFORE[name]
        else:
            return _named(name, words[position + 1 :], deep)
    return None


def _named(name: str, rest: list[str], deep: int) -> str | None:
    bare = [word.strip("'\"") for word in rest]
    if name in _SHELLS and deep:
        script = next((n for n, word in enumerate(bare) if re.fullmatch(r"-[a-z]*c", word)), None)
        if script is not None and script + 1 < len(bare):
            # What a shell is given in quotes is a line itself; unquoted it is all that follows.
            return _kind(" ".join(bare[script + 1 :]), deep - 1)
    if _PYTHON.fullmatch(name):
        name = "python"
        if "-m" in bare[:-1]:
            name = bare[bare.index("-m") + 1]
    if not _PLAIN.fullmatch(name):
        return None
    if name in _MANY:
        verb = next((word for word in bare if _PLAIN.fullmatch(word)), None)
        return name if verb is None else f"{name} {verb}"
    return name
