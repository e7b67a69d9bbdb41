"""Everything that is asked about the experts of one LLM at once, answered and told."""
