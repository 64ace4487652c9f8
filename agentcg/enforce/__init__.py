"""Grants and caps to the kernel, native cgroup files only (tier T0)."""
