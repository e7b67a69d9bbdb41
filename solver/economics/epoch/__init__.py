"""Epoch's inference economics, written again from the paper: what an LLM costs on any number of H100s at any speed.

Source: Erdil, "Inference economics of language models", arXiv:2506.04645, and the notebook that goes with it. Devices
are a real number, layouts are continuous, and NCCL's latencies are the only overhead besides kernel launches: this is
the `ideal` engine with Epoch's assumptions, and its fronts lie below what engines reach.
"""
