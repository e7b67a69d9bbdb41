"""The roofline: a block takes as long as its compute or its memory traffic, whichever is longer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def block(compute_s: Floats, memory_s: Floats, smoothness: float = math.inf) -> Floats:
    """Seconds of a block that computes and reads memory at once.

    ``(compute^p + memory^p)^(1/p)``: p = infinity is the textbook maximum, p = 1 the sum (nothing overlaps).

    >>> float(block(np.array(3.0), np.array(4.0), 2.0))
    5.0
    """
    larger = np.maximum(compute_s, memory_s)
    if math.isinf(smoothness):
        return larger
    ratio = np.minimum(compute_s, memory_s) / np.maximum(larger, 1e-300)
    if smoothness == 3:
        return larger * np.cbrt(1 + ratio * ratio * ratio)
    grown: Floats = larger * (1 + ratio**smoothness) ** (1 / smoothness)
    return grown


def experts_touched(experts: Floats, top_k: Floats, tokens: Floats) -> Floats:
    """Expected number of distinct experts that ``tokens`` tokens select, each ``top_k`` of ``experts`` evenly.

    ``E (1 - (1 - k/E)^tokens)``; skewed routing touches fewer (Jensen), so this is safe for bytes.
    """
    share = np.minimum(top_k / np.maximum(experts, 1), 1.0)
    with np.errstate(divide="ignore"):
        return experts * -np.expm1(tokens * np.log1p(-share))
