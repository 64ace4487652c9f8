"""What harnesses tell their hooks, and how words get back to the model: one dialect a file."""
