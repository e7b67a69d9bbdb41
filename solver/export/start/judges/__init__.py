"""Scripts that run inside engines' own environments; nothing here is imported by the planner."""
