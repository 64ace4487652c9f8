"""Three agents with real workloads on one host: `make demo`."""
