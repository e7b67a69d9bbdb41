"""How many copies each expert gets."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Floats, Int, Ints


def water_fill(loads: Floats, places: int, most: int) -> Ints:
    """Copies of each expert that make the most loaded copy as light as possible, for many layers at once.

    One copy each, then the next copy always to the expert whose copies carry most: optimal for ``min max load/copies``
    because the load of a copy falls with every further copy. Ties go to the lower expert number.

    Parameters
    ----------
    loads: load of each expert (layers, experts).
    places: copies in all, at least the number of experts and at most ``most`` times it.
    most: copies that one expert may have (the number of ranks, for copies on distinct ranks).

    >>> water_fill(np.array([[8.0, 3.0, 1.0]]), places=6, most=3).tolist()
    [[3, 2, 1]]
    """
    layers, experts = loads.shape
    row = np.arange(layers)
    counts = np.ones((layers, experts), Int)
    copy_load = np.where(counts < most, loads, -np.inf)
    for _ in range(places - experts):
        chosen = copy_load.argmax(axis=1)
        counts[row, chosen] += 1
        more = counts[row, chosen]
        copy_load[row, chosen] = np.where(more < most, loads[row, chosen] / more, -np.inf)
    return counts
