"""The harness's own failures, apart from failing tests."""


class HarnessError(Exception):
    """The machine could not be built or booted; the message says what to do about it."""


class LostVMError(HarnessError):
    """A machine that ran is gone or silent: a crashed kernel or emulator, not a failed test."""
