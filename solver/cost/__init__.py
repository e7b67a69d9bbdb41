"""Physics: what a step costs, what fits in memory, how long requests wait. Knows neither plans nor programs."""
