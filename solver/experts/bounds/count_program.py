"""Which replica counts keep every condition at a given limit: a program over options (expert, copies)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from solver.experts.arrays import Bools, Floats, Ints
from solver.experts.bounds.certificate import MARGIN, Certificate, copy_costs, copy_range, refutes
from solver.experts.bounds.prices import Prices, each_price, thresholds
from solver.glop import LinearModel

EXTRA_COPIES = 2
"""Copies beyond the fewest that the program starts with; other numbers enter when their price asks for it."""
MOST_ROUNDS = 8
"""Times the program is solved with more options."""
MOST_NEW = 12
"""Options per expert that enter at once; where more are cheaper, only the cheapest does."""
LEANING = 1e-5
"""Objective weight of moving away from the preferred counts; small beside any violation worth proving."""
BROKEN = 1e-3
"""Violation below which the conditions are taken to hold."""


@dataclass(frozen=True)
class Relaxed:
    """Answer of the linear program: a proof that the limit is out of reach, or fractional counts that keep it.

    Attributes
    ----------
    certificate: the proof, if there is one.
    counts: the most chosen number of copies of each expert (experts,); their sum may be off by a few.
    options: the options that the program ended with (experts, copies).
    """

    certificate: Certificate | None
    counts: Ints
    options: Bools


@dataclass(frozen=True)
class CountProgram:
    """Choose for every expert a number of copies such that no condition of :mod:`.prices` is broken at ``limit``.

    Attributes
    ----------
    loads: load of each expert (experts,).
    options: whether an expert may have 1, 2, ... copies (experts, copies).
    """

    limit: float
    ranks: int
    slots: int
    loads: Floats
    options: Bools

    @classmethod
    def at(
        cls, limit: float, loads: Floats, ranks: int, slots: int, useful: Bools | None = None
    ) -> CountProgram | None:
        """State the program with the options most likely to matter; None where even the fewest copies do not fit.

        ``useful`` options (experts, any number of copies) of an earlier limit are taken over as far as they are legal.
        """
        fewest, most = (edge[:, None] for edge in copy_range(loads, limit, ranks, slots))
        if (fewest > most).any():
            return None
        copies = np.arange(1, int(most.max()) + 1)
        worth = loads[:, None] / np.maximum(copies - 1, 1) > limit / (3 * slots)
        few_more = (copies > fewest) & (copies <= np.minimum(most, fewest + EXTRA_COPIES))
        options = (copies == fewest) | (few_more & worth)
        if (options * copies).max(axis=1).sum() < ranks * slots:
            options = (copies >= fewest) & (copies <= most)
        if useful is not None:
            width = min(useful.shape[1], len(copies))
            options[:, :width] |= useful[:, :width] & ((copies > fewest) & (copies <= most))[:, :width]
        return cls(limit, ranks, slots, loads, options)

    def relax(self, preferred: Ints) -> Relaxed:
        """Minimise the largest broken condition over fractional choices, adding options until the answer is settled.

        The duals are prices. A number of copies that is cheaper under them than every option of its expert becomes an
        option; once there is none, the prices prove what the program found.

        Parameters
        ----------
        preferred: counts to stay near where there is a choice (experts,).
        """
        options = self.options.copy()
        for _ in range(MOST_ROUNDS):
            broken, counts, prices, slot_price = replace(self, options=options)._solve(preferred)
            if broken <= BROKEN:
                break
            if refutes(prices, slot_price, self.loads, self.ranks):
                proof = Certificate(self.limit * (1 - MARGIN), "prices", prices, slot_price)
                return Relaxed(proof, counts, options)
            cost = copy_costs(prices, slot_price, self.loads, self.ranks)
            known = np.where(options, cost, np.inf).min(axis=1)
            cheaper = cost < known[:, None] - MARGIN
            if cheaper.sum() > MOST_NEW * len(self.loads):
                cheaper &= cost == cost.min(axis=1, keepdims=True)
            options |= cheaper
        return Relaxed(None, counts, options)

    def _solve(self, preferred: Ints) -> tuple[float, Ints, Prices, float]:
        """Largest violation, most chosen counts, prices of the conditions and price of a slot (GLOP).

        Each condition reads ``total = worst - slack`` with ``slack >= 0`` and is stated as its difference to the one
        before, which is sparse for steps: ``slack before - slack = change``. Its price is then the rise of the dual
        from one row to the next. Experts without a choice are constants.
        """
        expert, position = np.nonzero(self.options)
        copies = position + 1
        load = self.loads[expert] / copies
        thetas = thresholds(load, self.limit, self.slots)
        changes = np.diff(copies * each_price(load, self.limit, self.slots, thetas), axis=0, prepend=0.0)
        several = self.options.sum(axis=1)[expert] > 1
        free, fixed = np.flatnonzero(several), np.flatnonzero(~several)
        places = float(self.ranks * self.slots - copies[fixed].sum())

        program = LinearModel()
        choice = program.variables(0.0, np.inf, LEANING * np.abs(copies - preferred[expert])[free])
        worst = program.variables(0.0, np.inf, np.ones(1))
        slacks = program.variables(0.0, np.inf, np.zeros(len(thetas)))
        start = np.flatnonzero(np.diff(expert[free], prepend=-1, append=-1))
        for first, last in pairwise(start):
            program.row(1.0, 1.0, choice[first:last], np.ones(last - first))
        filled = program.row(places, places, choice, copies[free].astype(float))
        condition, changed = np.nonzero(changes[:, free])
        coefficient, rest = changes[condition, free[changed]], -changes[:, fixed].sum(axis=1)
        before, conditions = np.append(worst, slacks[:-1]), []
        start = np.searchsorted(condition, np.arange(len(thetas) + 1))
        for number, (first, last) in enumerate(pairwise(start)):
            terms = np.concatenate([choice[changed[first:last]], [slacks[number], before[number]]])
            factors = np.concatenate([coefficient[first:last], [1.0, -1.0]])
            conditions.append(program.row(rest[number], rest[number], terms, factors))
        answer = program.least()

        weights = np.maximum(0.0, np.diff(answer.duals[conditions], append=0.0))
        chosen = np.ones(len(expert))
        chosen[free] = answer.values[choice]
        order = np.lexsort((-chosen, expert))
        counts = copies[order[np.searchsorted(expert, np.arange(len(self.loads)))]]
        prices = Prices(self.limit, self.slots, thetas, weights)
        return float(answer.values[worst[0]]), counts, prices, -float(answer.duals[filled])
