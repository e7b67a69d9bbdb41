"""Expert loads for an LLM that nobody has recorded."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Float
from solver.experts.loads import Loads

SPREAD = (0.55, 0.9)
"""Standard deviation of the log load: the range over layers that matches recorded DeepSeek-V3 loads (hottest expert
5-8 times the mean, Gini 0.32-0.44)."""


def synthetic_loads(moe_layers: int, experts: int, dense_layers: int = 0, profiles: int = 1, seed: int = 0) -> Loads:
    """Lognormal loads, ``sigma`` uniform in :data:`SPREAD` for each layer, the same for all profiles of a layer.

    ``dense_layers`` empty layers come first. Profiles are independent draws, so they drift more than recorded ones.

    >>> synthetic_loads(moe_layers=2, experts=8, dense_layers=1).moe_layers
    (1, 2)
    """
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(*SPREAD, size=(1, moe_layers, 1))
    drawn = np.exp(sigma * rng.standard_normal((profiles, moe_layers, experts)))
    values = np.concatenate([np.zeros((profiles, dense_layers, experts)), drawn.astype(Float)], axis=1)
    return Loads.of(values, [f"synthetic {seed}.{p}" for p in range(profiles)])
