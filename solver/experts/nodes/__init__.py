"""Nodes: which copies stay near the tokens they serve, and what that costs in balance."""
