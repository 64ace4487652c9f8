"""Where an agent runs: finding or making the cgroup of a session."""
