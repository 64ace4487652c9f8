"""The command line; it speaks to the daemon through `agentcg.client` alone."""
