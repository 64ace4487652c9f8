"""What a server in a test is looked at with."""

import os


def exception_of(context: dict[str, object]) -> BaseException:
    """What an event loop was told of."""
    found = context.get("exception")
    return found if isinstance(found, BaseException) else RuntimeError(str(context))


def is_open(fd: int) -> bool:
    """Whether a descriptor is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
