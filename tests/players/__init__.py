"""Scripted harnesses: each behaves as its maker documents it, one dialect a file.

They run as processes of a session (`python -m tests.players`), so that the daemon sees what it
would see of the real ones; in the test VM too.
"""
