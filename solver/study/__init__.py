"""Questions that take one pricing or many solves."""
