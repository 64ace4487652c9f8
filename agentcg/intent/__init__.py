"""From what a caller sent to an Intent. No I/O."""
