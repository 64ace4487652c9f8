"""Deciding: pure functions over intents, readings, the host and the time. No I/O."""
