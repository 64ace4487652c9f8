"""`agentcg otel`: a span for each call that closed, sent to a collector."""
