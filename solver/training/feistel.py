"""A reversible layer is a Feistel round: ``(l, r) -> (r, l + F(r))`` is undone by subtracting, whatever F is.

In modular integers that is exact; in floats it is not, because ``(y + f) - f`` need not be y. The analogy decides no
layout. It gives two tools: a bit-exact test of the reversible policy (:mod:`solver.training.coupling`), and a
permutation of experts or KV blocks that can be inverted without a table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.errors import BadInput


@dataclass(frozen=True)
class Feistel:
    """A small Feistel network on words of ``2 half_bits`` bits; not for secrets.

    Round i maps the right half v by ``F_i(v) = (167 v + 13 i + 7) xor (v >> 1)``, modulo ``2^half_bits``.

    >>> cipher = Feistel(half_bits=8)
    >>> cipher.decrypt(cipher.encrypt(0xBEEF)) == 0xBEEF
    True
    """

    half_bits: int
    rounds: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.half_bits <= 31 or self.rounds < 1:
            raise BadInput(
                f"feistel: 1 to 31 bits a half and at least one round, not {self.half_bits} and {self.rounds}"
            )

    @property
    def size(self) -> int:
        """Number of words."""
        return 1 << 2 * self.half_bits

    def encrypt(self, word: int) -> int:
        """Where a word goes."""
        left, right = self._halves(word)
        for number in range(self.rounds):
            left, right = right, (left + self._round(number, right)) & self._mask
        return left << self.half_bits | right

    def decrypt(self, word: int) -> int:
        """Where a word came from."""
        left, right = self._halves(word)
        for number in reversed(range(self.rounds)):
            left, right = (right - self._round(number, left)) & self._mask, left
        return left << self.half_bits | right

    def permutation(self) -> NDArray[np.int64]:
        """Slot of every word, such as the slot of every expert."""
        return np.array([self.encrypt(word) for word in range(self.size)])

    @property
    def _mask(self) -> int:
        return (1 << self.half_bits) - 1

    def _round(self, number: int, value: int) -> int:
        return ((167 * value + 13 * number + 7) ^ (value >> 1)) & self._mask

    def _halves(self, word: int) -> tuple[int, int]:
        if not 0 <= word < self.size:
            raise BadInput(f"feistel: words go from 0 to {self.size - 1}, not {word}")
        return word >> self.half_bits, word & self._mask


def float_round_trip(value: float, added: float) -> float:
    """``(value + added) - added`` in float32: what a reversible layer makes of a small activation.

    >>> float_round_trip(1e-8, 1.0)
    0.0
    """
    return float(np.float32(np.float32(value) + np.float32(added)) - np.float32(added))
