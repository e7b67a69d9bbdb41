"""Prices on copy loads that no rank within a limit can exceed: the conditions behind every bound.

A rank of S slots holds S copies whose loads sum to at most the limit T. For each threshold theta in (0, T/S] there is a
price f(theta, load) whose sum over the copies of any such rank is at most 0:

- **steps**, two slots: ``f = [load > T - theta] - [load < theta]``. A copy above ``T - theta`` needs a partner below
  theta. Together the steps are Hall's condition for pairing the copies, hence exact once the counts are fixed.
- **ramps**, three slots or more: ``f = max(0, load - (T - (S-1) theta)) - max(0, theta - load)``. A copy above
  ``T - (S-1) theta`` must be joined by copies that average less than theta: if j copies are above, then by the limit
  the sum is at most ``T - j (T - (S-1) theta) - (S-j) theta <= 0`` for ``theta <= T/S``. At ``theta = T/S`` it is
  the mean.

A mix with weights >= 0 keeps the property and rises with the load, so a placement exists only if counts exist whose
total price is at most 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Float, Floats

STEP_SLOTS = 2
"""Slots a rank for which the steps are used; with more slots the ramps."""


@dataclass(frozen=True)
class Prices:
    """A weighted mix of prices for one limit and number of slots.

    Attributes
    ----------
    limit: load that no rank may exceed.
    slots: slots on a rank, at least 2.
    thetas: thresholds, ascending, in (0, limit/slots].
    weights: one for each threshold, >= 0.
    """

    limit: float
    slots: int
    thetas: Floats
    weights: Floats

    def of(self, load: Floats) -> Floats:
        """Price of a copy with this load; any shape."""
        weight, moment = _from_above(self.weights), _from_above(self.weights * self.thetas)
        low = np.searchsorted(self.thetas, load, side="right")
        if self.slots == STEP_SLOTS:
            high = np.searchsorted(self.thetas, self.limit - load, side="right")
            return np.asarray(weight[high] - weight[low])
        others = self.slots - 1
        high = np.searchsorted(self.thetas, (self.limit - load) / others, side="right")
        above = others * moment[high] - (self.limit - load) * weight[high]
        return np.asarray(above - (moment[low] - load * weight[low]))


def each_price(load: Floats, limit: float, slots: int, thetas: Floats) -> Floats:
    """Price of each load for each threshold alone (thresholds, loads)."""
    theta = thetas[:, None]
    if slots == STEP_SLOTS:
        return (load > limit - theta).astype(Float) - (load < theta)
    return np.maximum(load - (limit - (slots - 1) * theta), 0.0) - np.maximum(theta - load, 0.0)


def thresholds(load: Floats, limit: float, slots: int) -> Floats:
    """Thresholds worth asking for, given the loads that copies can have, ascending."""
    if slots != STEP_SLOTS:
        return np.linspace(0.0, limit / slots, 33)[1:-1]
    heavy = np.unique(load[(load > limit / 2) & (load <= limit)])
    margin = 1e-10 * limit
    return np.asarray(np.unique(np.minimum(limit - heavy + margin, limit / 2)))


def _from_above(values: Floats) -> Floats:
    """Sum of ``values[i:]`` for every i from 0 to the length."""
    return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])
