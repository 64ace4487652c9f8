"""What was compiled with the package: the native client, the shim, the system calls' numbers."""

import os
import shutil
from pathlib import Path

from agentcg.errors import UnsupportedError

_PACKAGE = Path(__file__).parent


def acg() -> Path:
    """The native client.

    Raises:
        UnsupportedError: there is none.
    """
    for place in (_PACKAGE / "_native/acg", _PACKAGE.parent / "build/acg"):
        if os.access(place, os.X_OK) and place.is_file():
            return place
    found = shutil.which("acg")
    if found is None:
        raise UnsupportedError("the native client acg is not here: build it with `make acg`")
    return Path(found)


def shim() -> Path:
    """The folder of what stands before libcuda.

    Raises:
        UnsupportedError: there is none.
    """
    for place in (_PACKAGE / "_native/shim", _PACKAGE.parent / "build/shim"):
        if place.is_dir():
            return place
    raise UnsupportedError("the shim of libcuda is not here: build it with `make shim`")


def syscalls() -> dict[int, str]:
    """The names of system calls by number, of the architecture that the package was built for.

    Raises:
        UnsupportedError: there is no such list.
    """
    for place in (_PACKAGE / "_native/syscalls", _PACKAGE.parent / "build/syscalls"):
        if place.is_file():
            lines = place.read_text("ascii").splitlines()
            return {int(number): name for number, _, name in (one.partition(" ") for one in lines)}
    raise UnsupportedError("the list of system calls is not here: build it with `make setup`")
