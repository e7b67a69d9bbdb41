"""Training: what layers keep for the backward pass, how pipelines are scheduled, and what an iteration takes."""
