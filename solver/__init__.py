"""rackplan: which layout serves an LLM for the fewest dollars per token, and how do you know that nothing better exists?"""
