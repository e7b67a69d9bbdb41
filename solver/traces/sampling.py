"""Samples that do not depend on how a stream is cut into chunks: those with the smallest hashed ordinals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD = 2**64 - 1
_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def hashed(ordinals: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Evenly spread 64-bit words (n,), one for each ordinal (splitmix64; Steele et al., OOPSLA 2014)."""
    word = (ordinals.astype(np.uint64) + np.uint64(seed * 0xD1342543DE82EF95 & _WORD)) * _GOLDEN
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return np.asarray(word ^ (word >> np.uint64(31)), np.uint64)


def uniform(ordinals: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) (n,), one for each ordinal."""
    return (hashed(ordinals, seed) >> np.uint64(11)).astype(float) / 2.0**53


class Sample:
    """At most ``size`` rows of a stream, each equally likely to be among them."""

    def __init__(self, size: int, seed: int, dtype: np.dtype[np.void]) -> None:
        self._size, self._seed = size, seed
        self._rows = np.zeros(0, dtype)
        self._ordinals, self._words = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self.seen = 0

    def add(self, rows: NDArray[np.void]) -> None:
        """Offer the next rows (n,) of the stream."""
        ordinals = np.arange(self.seen, self.seen + len(rows), dtype=np.uint64)
        self.seen += len(rows)
        words = hashed(ordinals, self._seed)
        if len(self._words) == self._size and self._size:
            kept = words < self._words.max()
            rows, ordinals, words = rows[kept], ordinals[kept], words[kept]
        self._rows = np.concatenate([self._rows, rows])
        self._ordinals = np.concatenate([self._ordinals, ordinals])
        self._words = np.concatenate([self._words, words])
        if len(self._words) > self._size:
            best = np.sort(np.argpartition(self._words, self._size)[: self._size])
            self._rows, self._ordinals, self._words = self._rows[best], self._ordinals[best], self._words[best]

    @property
    def rows(self) -> NDArray[np.void]:
        """The sample (m,), in order of the stream."""
        return self._rows
