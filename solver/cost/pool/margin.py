"""Who causes a pool's cost: the share of its work that each class of requests brings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.prompts import Prefill
from solver.cost.pool.serving import Service

Floats = NDArray[np.float64]


def work_shares(priced: PricedPool, service: Service, classes: int) -> Floats:
    """Share of a pool's work by class (C,); adds up to 1.

    Prompts count by the time that they take the slowest stage, sequences by the time that they stay in the batch; a
    unified pool weighs the two by the share of its time that prompts take.
    """
    mix = priced.mix
    prefill = Prefill.of(priced.replicas, mix)
    prompts = np.einsum("rcn,cn->c", prefill.occupied, prefill.share)
    prompts = prompts / prompts.sum()
    weight = {"prefill": 1.0, "decode": 0.0, "unified": min(float(service.utilisation[0]), 1.0)}[priced.setup.role]
    return _by_class(mix, weight * prompts + (1 - weight) * mix.resident, classes)


def _by_class(mix: Mix, shares: Floats, classes: int) -> Floats:
    """Shares of the entries of a mix (hits and misses apart) summed over each class."""
    members = mix.member or tuple(range(classes))
    found: Floats = np.zeros(classes)
    np.add.at(found, np.array(members), shares)
    return found
