"""Additive coupling in fixed point: a reversible residual network whose inputs come back bit for bit.

A block maps two streams by ``y1 = x1 + F(x2)``, ``y2 = x2 + G(y1)``. F and G are any functions, here small networks
evaluated in floats and rounded to fixed point; as both directions evaluate them on the same integers, they agree to the
last bit, and adding in integers modulo 2^32 is undone exactly. In floats the sum itself loses bits.

Source: Gomez et al., arXiv:1707.04585; fixed point after MacKay et al., arXiv:1810.10999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Fixed = NDArray[np.uint32]


@dataclass(frozen=True)
class ReversibleStack:
    """Blocks of two residual branches each.

    Attributes
    ----------
    weights: of every branch (depth, 2, width, width). fraction_bits: of the fixed point.
    """

    weights: Floats
    fraction_bits: int = 16

    @classmethod
    def random(cls, depth: int, width: int, seed: int = 0) -> ReversibleStack:
        """A stack with random weights."""
        return cls(np.random.default_rng(seed).normal(size=(depth, 2, width, width)) / np.sqrt(width))

    def fixed(self, values: Floats) -> Fixed:
        """Round to fixed point; two's complement in 32 bits."""
        return np.round(values * 2.0**self.fraction_bits).astype(np.int64).astype(np.uint32)

    def floats(self, values: Fixed) -> Floats:
        """What fixed point stands for."""
        return values.view(np.int32) / 2.0**self.fraction_bits

    def forward(self, first: Fixed, second: Fixed) -> tuple[Fixed, Fixed]:
        """Through all blocks."""
        for inner, outer in self.weights:
            first = first + self._branch(inner, second)
            second = second + self._branch(outer, first)
        return first, second

    def backward(self, first: Fixed, second: Fixed) -> tuple[Fixed, Fixed]:
        """The inputs again, from the outputs alone."""
        for inner, outer in self.weights[::-1]:
            second = second - self._branch(outer, first)
            first = first - self._branch(inner, second)
        return first, second

    def drift(self, first: Floats, second: Floats) -> float:
        """Largest error of the round trip in float32 [the activations' own unit]."""
        a, b = first.astype(np.float32), second.astype(np.float32)
        kept = a.copy(), b.copy()
        for inner, outer in self.weights.astype(np.float32):
            a = a + np.tanh(b @ inner)
            b = b + np.tanh(a @ outer)
        for inner, outer in self.weights.astype(np.float32)[::-1]:
            b = b - np.tanh(a @ outer)
            a = a - np.tanh(b @ inner)
        return float(max(np.abs(a - kept[0]).max(), np.abs(b - kept[1]).max()))

    def _branch(self, weights: Floats, values: Fixed) -> Fixed:
        return self.fixed(np.tanh(self.floats(values) @ weights))
