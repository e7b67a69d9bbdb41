"""From counts and names to a plan, and what can be said of it: what binds, what else was near, why there is none."""
