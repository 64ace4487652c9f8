"""Writes docs/reference/ and the shipped configuration from the code: `make reference`.

A unit test compares the files with what this makes, so they cannot fall behind. Whoever wants
other words in a page changes the docstring, help or description that they come from.
"""
