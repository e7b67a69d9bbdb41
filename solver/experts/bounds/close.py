"""Close the gap of one layer from both sides: better counts from above, proofs from below."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.bounds.certificate import MARGIN, Certificate, refutes
from solver.experts.bounds.count_program import CountProgram
from solver.experts.bounds.forced import forced
from solver.experts.bounds.prices import Prices
from solver.experts.bounds.recount import adjust_total, descend

MOST_PROBES = 16
RAISES = 5
"""Bisections of the limit that a proof is carried up to."""


def close_counts(
    loads: Floats, ranks: int, slots: int, counts: Ints, bound: Certificate, tolerance: float
) -> tuple[Ints, Certificate]:
    """Search counts whose forced load is within ``tolerance`` of a lower bound, and that bound.

    Limits are probed downwards from what descent reaches, in growing steps, until the linear program refutes one;
    then they are bisected. A probe that is not refuted suggests counts.

    Parameters
    ----------
    loads, counts: of the experts of one layer (experts,).
    bound: the best lower bound known.

    Returns
    -------
    the best counts found and the best certificate.
    """
    best, reached = _descend_all_the_way(loads, counts, ranks, slots, bound.limit, tolerance)
    open_limit, step, useful = reached, tolerance, None
    for _ in range(MOST_PROBES):
        if min(open_limit, reached) <= bound.limit * (1 + tolerance):
            break
        limit = max(reached / (1 + step), (min(open_limit, reached) + bound.limit) / 2)
        step *= 2
        program = CountProgram.at(limit, loads, ranks, slots, useful)
        if program is None:
            bound = Certificate(limit, "copies")
            continue
        answer = program.relax(counts)
        useful = answer.options
        if answer.certificate is not None:
            bound = _raised(answer.certificate, loads, ranks, min(open_limit, reached))
            continue
        open_limit = limit
        suggested, value = _whole(loads, answer.counts, ranks, slots, limit)
        if value < reached:
            best, reached = suggested, value
    return best, bound


def _raised(proof: Certificate, loads: Floats, ranks: int, ceiling: float) -> Certificate:
    """The highest limit below ``ceiling`` that the same prices still refute, by bisection.

    The thresholds move with the limit, so that the same copies count as heavy.
    """
    prices = proof.prices
    if prices is None:
        return proof
    low, high = prices.limit, ceiling
    for _ in range(RAISES):
        limit = (low + high) / 2
        thetas = np.minimum(prices.thetas + (limit - prices.limit), limit / prices.slots)
        trial = Prices(limit, prices.slots, thetas, prices.weights)
        if refutes(trial, proof.slot_price, loads, ranks):
            low, proof = limit, Certificate(limit * (1 - MARGIN), "prices", trial, proof.slot_price)
        else:
            high = limit
    return proof


def _whole(loads: Floats, counts: Ints, ranks: int, slots: int, limit: float) -> tuple[Ints, float]:
    """Rounded counts of a fractional answer made to fill the slots, and what they force; infinite if that fails."""
    full = adjust_total(loads, counts, ranks, slots, limit)
    if full is None:
        return counts, np.inf
    full = descend(loads, full, ranks, slots, limit)
    return full, forced(loads, full, slots)


def _descend_all_the_way(
    loads: Floats, counts: Ints, ranks: int, slots: int, floor: float, tolerance: float
) -> tuple[Ints, float]:
    """Descend for ever lower limits until one is missed."""
    reached = forced(loads, counts, slots)
    while reached > floor * (1 + tolerance):
        limit = max(floor, reached * (1 - tolerance))
        tried = descend(loads, counts, ranks, slots, limit)
        value = forced(loads, tried, slots)
        if value >= reached:
            break
        counts, reached = tried, value
    return counts, reached
