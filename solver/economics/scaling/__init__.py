"""Scaling laws: what loss a size, a sparsity and an amount of data buy, and which of them is cheapest."""
