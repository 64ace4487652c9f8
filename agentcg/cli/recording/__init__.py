"""`agentcg record`: what was recorded of a time, in one file; docs/recording.md is its format.

`lines` is the format, `gather` asks the daemon, `target` writes files as one should.
"""
