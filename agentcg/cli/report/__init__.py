"""`agentcg report`: what was recorded of a session or a day as one HTML file."""
