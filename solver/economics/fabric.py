"""Scale-up against scale-out in closed form: where each fabric's bandwidth goes.

The alpha-beta collectives of the cost model are in :mod:`solver.cost.network.collectives`; these are the limits that a
lecture needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from solver.cost.network.collectives import all_reduce


def ring_all_reduce_s(size: float, ranks: int, bytes_per_s: float, latency_s: float) -> float:
    """Ring all-reduce: ``2 (n-1) alpha + 2 (n-1)/n S/W``."""
    return float(all_reduce(np.array(ranks), np.array(size), bytes_per_s, 2 * latency_s, 1.0))


def one_shot_all_reduce_s(size: float, ranks: int, bytes_per_s: float, latency_s: float) -> float:
    """Everybody sends everything to everybody: ``alpha + (n-1) S/W``."""
    return latency_s + (ranks - 1) * size / bytes_per_s


def one_shot_crossover_bytes(ranks: int, bytes_per_s: float, latency_s: float) -> float:
    """Size up to which one shot is faster than a ring: ``(2n-3) alpha W / ((n-1) (1 - 2/n))``."""
    return (2 * ranks - 3) * latency_s * bytes_per_s / ((ranks - 1) * (1 - 2 / ranks))


def all_gather_s(size: float, ranks: int, bytes_per_s: float) -> float:
    """All-gather of ``size`` bytes in total: ``S (n-1) / (n W)``."""
    return size * (ranks - 1) / (ranks * bytes_per_s)


def hierarchical_all_gather_bytes_per_s(levels: Sequence[tuple[int, float]]) -> float:
    """Rate of an all-gather over levels of (fan-out D, bandwidth W): the least of ``D W / (D-1)``."""
    return min(degree * rate / (degree - 1) for degree, rate in levels)


def all_to_all_s(size: float, members: int, bytes_per_s: float) -> float:
    """All-to-all of ``size`` bytes in total among members of so much bandwidth: ``S (n-1) / (n^2 W)``."""
    return size * (members - 1) / (members**2 * bytes_per_s)


def second_node_slowdown(devices: int, device_bytes_per_s: float, nodes: int, node_bytes_per_s: float) -> float:
    """All-to-all over several nodes against inside one, by the exact forms."""
    return all_to_all_s(1.0, nodes, node_bytes_per_s) / all_to_all_s(1.0, devices, device_bytes_per_s)


def second_node_slowdown_roughly(devices: int, device_bytes_per_s: float, nodes: int, node_bytes_per_s: float) -> float:
    """The same with ``(n-1)/n`` taken as 1, as the scaling book has it: it calls 2.6 times "more than 4 times"."""
    return devices * device_bytes_per_s / (nodes * node_bytes_per_s)


def bandwidth_ratio(scale_up: float, scale_out: float) -> float:
    """How much faster a device's scale-up links are than its share of the NICs."""
    return scale_up / scale_out


def least_layers_to_hide(ratio: float, top_k: int) -> int:
    """Layers a pipeline stage needs so that its hop over scale-out hides behind expert exchange: ``ceil(ratio / 2K)``."""
    return math.ceil(ratio / (2 * top_k))


def kv_transfer_s(context: float, kv_bytes_per_token: float, nics: int, bytes_per_s: float) -> float:
    """Seconds to hand a KV cache to another pool: ``L k / (nics W)``; layer by layer only the last one shows."""
    return context * kv_bytes_per_token / (nics * bytes_per_s)


def cross_rack_slowdown(racks: int, ratio: float) -> float:
    """Expert exchange over several racks against inside one: the busier of the two fabrics.

    Of evenly routed traffic ``f = (R-1)/R`` leaves the rack and is ``ratio`` times as slow: ``max(1-f, f ratio)``.

    >>> cross_rack_slowdown(1, 9), cross_rack_slowdown(2, 9)
    (1.0, 4.5)
    """
    leaving = (racks - 1) / racks
    return max(1 - leaving, leaving * ratio)
