"""From the kernel to counters, from the daemon to whoever follows its events."""
