"""Collectives in the alpha-beta form: a latency that grows with the ranks and bytes over the slowest link.

All functions take and return numpy arrays (or floats) and broadcast. Bandwidths are one direction per rank [B/s].

Source: Thakur, Rabenseifner and Gropp 2005; Patarasuk and Yuan 2009; DeepEP's published tables for dispatch and
combine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def all_reduce(
    ranks: Floats, size: Floats, bandwidth: Floats | float, latency: Floats | float, growth: Floats | float
) -> Floats:
    """Seconds of an all-reduce of ``size`` bytes among ``ranks``.

    ``latency (1 + growth (n - 2)) + 2 (n - 1) / n x size / bandwidth``; 0 for one rank.
    """
    n = np.maximum(ranks, 1)
    return np.where(n > 1, latency * (1 + growth * (n - 2)) + 2 * (n - 1) / n * size / bandwidth, 0.0)


def all_reduce_across(
    ranks: Floats,
    domains: Floats,
    size: Floats,
    *,
    inside: Floats | float,
    outside: Floats | float,
    latency: Floats | float,
    growth: Floats | float,
    hop: Floats | float,
) -> Floats:
    """Seconds of an all-reduce of ``size`` bytes among ``ranks`` in equal parts over scale-up ``domains``.

    Reduce-scatter inside each domain, all-reduce of every rank's shard with its counterparts in the others, all-gather
    inside: the first and the last are an all-reduce inside; a ring among d domains passes 2 (d - 1) hops and
    ``2 (d - 1) / d`` of the shard.

    >>> one = all_reduce_across(8.0, 1.0, 1e6, inside=4e11, outside=4e10, latency=5e-6, growth=0.0, hop=1e-5)
    >>> bool(one == all_reduce(8.0, 1e6, 4e11, 5e-6, 0.0))
    True
    """
    d = np.maximum(domains, 1)
    # Each rank's shard, 1 / local of the buffer, goes once around the ring of domains, twice over (reduce, gather).
    local = ranks / d
    across = 2 * (d - 1) * hop + 2 * (d - 1) / d * size / np.maximum(local, 1) / outside
    found: Floats = all_reduce(local, size, inside, latency, growth) + np.where(d > 1, across, 0.0)
    return found


def gather_and_scatter(ranks: Floats, shard: Floats, bandwidth: Floats | float, latency: Floats | float) -> Floats:
    """Seconds of an all-gather of every rank's ``shard`` bytes and the reduce-scatter that returns them; 0 for one rank."""
    n = np.maximum(ranks, 1)
    return np.where(n > 1, 2 * (latency + (n - 1) * shard / bandwidth), 0.0)


def remote_share(nodes: Floats) -> Floats:
    """Share of evenly spread traffic that leaves the node: (nodes - 1) / nodes."""
    n = np.maximum(nodes, 1)
    return (n - 1) / n


def nodes_reached(nodes: Floats, experts: Floats, top_k: Floats) -> Floats:
    """Expected number of other nodes that hold at least one of a token's experts.

    With experts spread evenly each of the other ``nodes - 1`` nodes is missed with probability (1 - 1/nodes)^k, the
    binomial form of the hypergeometric of Krajewski's and DeepSeek's deduplicated dispatch.
    """
    n = np.maximum(nodes, 1)
    return (n - 1) * (1 - (1 - 1 / n) ** np.minimum(top_k, np.maximum(experts, 1)))


def token_copies(
    top_k: Floats, experts: Floats, nodes: Floats, deduplicate: Floats | bool
) -> tuple[Floats, Floats]:
    """Copies of a token that leave its node in one direction of the expert exchange, and copies that stay inside.

    Low-latency kernels send each token once per expert; high-throughput kernels send it once per node and forward it
    inside (``deduplicate``).

    Parameters
    ----------
    nodes: scale-up domains that the expert group spans.
    """
    outside = np.where(deduplicate, nodes_reached(nodes, experts, top_k), top_k * remote_share(nodes))
    inside = np.where(deduplicate, top_k, top_k * (1 - remote_share(nodes)))
    return outside, inside


def expert_exchange(
    outside_bytes: Floats, inside_bytes: Floats, inside: Floats | float, outside: Floats | float, floor: Floats | float
) -> Floats:
    """Seconds of one direction of the expert exchange (dispatch or combine) for one rank.

    The larger of what a rank sends over scale-out and over scale-up, on top of a launch floor.

    Parameters
    ----------
    outside_bytes, inside_bytes: what the rank sends out of its scale-up domain and within it.
    """
    return floor + np.maximum(outside_bytes / outside, inside_bytes / inside)
