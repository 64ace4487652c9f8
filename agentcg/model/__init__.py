"""The vocabulary: frozen dataclasses that every stage shares; no I/O."""
