"""What a priority is worth in CPU where nothing but cpu.weight can tell: twice as much every 50.

100 has four times the weight of 0, and 0 four times that of -100.
"""

LEAST, MOST = 1, 10_000  # of cpu.weight, cgroup-v2.rst


def weight(base: int, priority: int) -> int:
    """The cpu.weight for a priority of -100 to 100, where 0 gets `base`."""
    return min(MOST, max(LEAST, round(base * 2 ** (priority / 50))))
