"""Promises with confidence: how much longer than predicted replicas are taken to be, so that their promises hold in enough of
the draws of what predictions may be off by.

One pool keeps a promise in a draw (t, v) if it would at ``e^t`` times the time and first tokens ``e^v`` times as long again
(:mod:`solver.cost.pool.draws`); the longer, the less. So it keeps its own part in a share b of the draws if it does at the
b-quantiles of t and of t + v: a *safe* stretch. And a plan that keeps everything at once in a share b of the draws has pools
that keep their parts in as many: of the draws beyond a corner (t, v) in both directions, where they are more than 1 - b, one
is among them, so the pool keeps its part at the corner too. Those are *bold* stretches: no pool of such a plan serves more
than the least that it would serve at any of them. What holds by prediction must hold in any case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.instance import Instance
from solver.cost.pool.serving import Stretch
from solver.cost.surprises import DRAWS
from solver.replica import Setup
from solver.space.candidates import Candidates

Floats = NDArray[np.float64]

#: Quantiles of v at which corners lie, over the confidence.
CORNERS = (0.0, 1 / 3, 2 / 3, 1.0)


def certain(found: Candidates, instance: Instance) -> Candidates:
    """Candidates that are stretched as the scenario's confidence asks; as they are where it asks for none."""
    if not instance.is_cautious:
        return found
    setups = [row.setup for row in found.rows]
    surprises = instance.surprises(found.fleet.device.name, setups)
    bold = _bold(surprises, instance.confidence, found.role == "decode")
    return replace(found, safe=_safe(surprises, instance.aim), bold=bold)


def safe_stretch(instance: Instance, device: str, setups: Sequence[Setup]) -> Stretch | None:
    """What a plan may count on; None where no confidence is asked for."""
    return _safe(instance.surprises(device, setups), instance.aim) if instance.is_cautious else None


def _safe(surprises: Floats, share: float) -> Stretch:
    """Where single promises hold in a share of the draws (2, S, DRAWS)."""
    longer, first = (_quantile(values, share) for values in (surprises[0], surprises.sum(axis=0)))
    time = np.exp(np.maximum(longer, 0.0))
    return Stretch(time, np.exp(np.maximum(first, 0.0)) / time)


def _bold(surprises: Floats, share: float, later: bool) -> tuple[Stretch, ...]:
    """Corners beyond which just more than 1 - share of the draws lie, each with v at another quantile.

    Parameters
    ----------
    later: whether first tokens are none of the role's.
    """
    longer, first = surprises
    enough = DRAWS - math.ceil(share * DRAWS - 1e-9) + 1
    found = []
    for part in (0.0,) if later else CORNERS:
        least = _quantile(first, part * share)
        beyond = np.where(first >= least[:, None], longer, -np.inf)
        most = np.partition(beyond, DRAWS - enough, axis=1)[:, DRAWS - enough]
        # What holds by prediction must hold in any case.
        at_all = np.maximum(most, least) > 0
        found.append(Stretch(*(np.exp(np.where(at_all, of, 0.0)) for of in (most, least))))
    return tuple(found)


def _quantile(values: Floats, share: float) -> Floats:
    """The least value that a share of the draws does not exceed (S, DRAWS) -> (S,)."""
    return np.asarray(np.quantile(values, share, axis=1, method="inverted_cdf"))
