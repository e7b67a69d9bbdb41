"""The H100 as Epoch has it, and NCCL's collectives on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Collective = Literal["all_reduce", "all_to_all", "send"]


class Protocol(NamedTuple):
    """One of NCCL's protocols.

    Attributes
    ----------
    local_s: latency per further rank of a node. node_s: per doubling of nodes. base_s: of a call.
    share: of the bandwidth that it reaches.
    """

    local_s: float
    node_s: float
    base_s: float
    share: float


#: NCCL's own tuning table, as quoted in Erdil's equation 23: Simple, LL128 and LL.
PROTOCOLS = (
    Protocol(28e-6, 28e-6, 0.0, 1.0),
    Protocol(1.25e-6, 8.5e-6, 14e-6, 0.95),
    Protocol(0.6e-6, 5e-6, 6.8e-6, 0.5),
)


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """One device and its links.

    Attributes
    ----------
    flops: dense peak [FLOP/s] by bytes per weight. flops_cap, bytes_cap: shares of the peaks that are reached.
    local_bytes_per_s, remote_bytes_per_s: algorithm bandwidth inside a node and between nodes.
    launch_s: of a kernel. overlapped: whether traffic inside and between nodes goes at once.
    """

    flops: Mapping[float, float] = field(default_factory=lambda: {0.5: 2e15, 1: 2e15, 2: 1e15})
    bytes_per_s: float = 3.3e12
    hbm_bytes: float = 8e10
    local_bytes_per_s: float = 2.25e11
    remote_bytes_per_s: float = 2.5e10
    node: int = 8
    launch_s: float = 4e-6
    flops_cap: float = 0.7
    bytes_cap: float = 0.75
    overlapped: bool = True

    def collective_s(self, kind: Collective, ranks: Floats, nodes: Floats, size: Floats) -> Floats:
        """Seconds of a collective of ``size`` bytes by the fastest protocol; 0 for one rank."""
        rounds = 2 if kind == "all_reduce" else 1
        local = np.maximum(0, ranks - nodes) * size / (ranks * self.local_bytes_per_s)
        remote = (nodes - 1) * size / (ranks * self.remote_bytes_per_s)
        moved = (np.maximum(local, remote) if self.overlapped else local + remote) * rounds / 2
        times = [
            rounds * ((ranks / nodes - 1) * p.local_s + np.log2(nodes) * p.node_s) + p.base_s + moved / p.share
            for p in PROTOCOLS
        ]
        fastest: Floats = np.where(ranks > 1, np.minimum.reduce(times), 0.0)
        return fastest


H100 = Accelerator()
#: The first version of the model: peaks are reached, and traffic inside nodes adds to that between them.
H100_UNCAPPED = replace(H100, flops_cap=1.0, bytes_cap=1.0, overlapped=False)
