"""`agentcg top`: sessions and calls on a full screen.

`board` remembers what was told, `screen` is where the user is (state and key → state), `page` makes
lines of both; these are pure, and time is an argument. `feed` asks the daemon, `terminal` draws,
`loop` ties them together: one event loop, in which keys never wait for the daemon. Drawn with
rich, as all else here, and not with a framework for such programs, which would be a dependency
larger than the rest of the client.
"""
