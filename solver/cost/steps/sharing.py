"""Over how many ranks an engine divides what is not attention: dense FFNs, shared experts, embedding and head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.engines.launch import launch
from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sharing:
    """Of many replicas (R,).

    Attributes
    ----------
    dense, shared: ranks over which dense FFNs and shared experts are divided.
    ends: 1 where every pipeline stage holds embedding and head, 0 where the first and the last do.
    """

    dense: Floats
    shared: Floats
    ends: Floats

    @classmethod
    def of(cls, llm: LLM, device: Device, setups: Sequence[Setup]) -> Sharing:
        """As the engines' launches say."""
        known: dict[tuple[object, ...], tuple[float, float, float]] = {}
        rows = []
        for setup in setups:
            spares = setup.redundant_experts > 0
            key = (setup.engine, setup.role, setup.parallelism, setup.exchange_domains, spares, setup.overlap)
            if key not in known:
                started, tp = launch(llm, device, setup), setup.parallelism.tp
                known[key] = (
                    1.0 if started.whole_dense else tp,
                    1.0 if started.whole_shared else tp,
                    float(started.ends_everywhere),
                )
            rows.append(known[key])
        return cls(*np.array(rows, float).reshape(-1, 3).T)
