"""Whole powers, for smooth stand-ins of a maximum."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Floats


def power(values: Floats, exponent: int) -> Floats:
    """Raise to a whole power >= 1 by repeated squaring; NumPy's general power is ten times slower.

    >>> power(np.array([2.0, 3.0]), 5).tolist()
    [32.0, 243.0]
    """
    result = None
    while exponent:
        if exponent % 2:
            result = values if result is None else result * values
        exponent //= 2
        if exponent:
            values = values * values
    return np.ones_like(values) if result is None else result
