"""`agentcg export`: what was recorded, for other programs."""
