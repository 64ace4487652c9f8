"""`agentcg replay`: the screen of `agentcg top`, fed from a recording.

`past` knows what was at any moment, `player` moves through it by time and by keys.
"""
