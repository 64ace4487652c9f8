"""GPU memory: guards hold a lease to its bytes, an engine makes room for it."""
