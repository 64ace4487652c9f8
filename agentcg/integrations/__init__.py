"""Adapters for harnesses that are programs in Python; each needs its harness, none the others."""
