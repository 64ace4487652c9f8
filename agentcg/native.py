"""Where the native client is: of the package, of the checkout, or on PATH."""

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
