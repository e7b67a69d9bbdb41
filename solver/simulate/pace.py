"""How fast a pool's replicas step: the cost model, tabulated once per pool and read by interpolation.

A step of one rank carries n running sequences and p prompt tokens. Decode attention depends on n and the context,
prefill attention on p and the keys before it, everything else on n and p, so that three small tables hold the step::

    decode(n, context)                           seconds between two tokens
    chunk(p, n, company)                         a step with a prompt in it, at half its own length of keys
    attention(keys)                              further seconds per prompt token with more keys before it
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.priced import PricedPool
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.step import Load

Floats = NDArray[np.float64]

#: Ratio between neighbouring points of a table; steps are so smooth that interpolation errs by less than 0.5 %.
RATIO = 1.15
#: Shares of the other data-parallel ranks that prefill in the same step, as tabulated.
COMPANY = (0.0, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class GridFunction:
    """A function of two numbers on a grid, linear in between and constant beyond."""

    rows: list[float]
    columns: list[float]
    values: list[list[float]]

    def __call__(self, row: float, column: float) -> float:
        i, s = _cell(self.rows, row)
        j, t = _cell(self.columns, column)
        low, high = self.values[i], self.values[i + 1]
        first = low[j] + (low[j + 1] - low[j]) * t
        return first + (high[j] + (high[j + 1] - high[j]) * t - first) * s

    @classmethod
    def of(cls, rows: Floats, columns: Floats, evaluate: Callable[[Floats, Floats], Floats]) -> GridFunction:
        """Tabulate ``evaluate``, which takes flat arrays of row and column values (N,)."""
        grid = np.meshgrid(rows, columns, indexing="ij")
        values = evaluate(grid[0].ravel(), grid[1].ravel()).reshape(grid[0].shape)
        return cls(rows.tolist(), columns.tolist(), values.tolist())


def _cell(points: list[float], value: float) -> tuple[int, float]:
    """The interval of a grid in which a value lies, and where in it (0 to 1)."""
    i = min(max(bisect_right(points, value) - 1, 0), len(points) - 2)
    return i, min(max((value - points[i]) / (points[i + 1] - points[i]), 0.0), 1.0)


@dataclass(frozen=True)
class Chunk:
    """One pass of prompt tokens through a replica.

    Attributes
    ----------
    occupied_s: until the next pass can enter (its slowest stage).
    latency_s: until it has left the last stage.
    stall_s: by how much it delays the sequences that run beside it.
    """

    occupied_s: float
    latency_s: float
    stall_s: float


class Pace:
    """Step times of one pool.

    Parameters
    ----------
    most_sequences: running sequences of a rank up to which steps are tabulated.
    longest: longest context [tokens].
    """

    def __init__(self, priced: PricedPool, most_sequences: float, longest: float) -> None:
        self._replicas = priced.replicas
        self._pp = priced.setup.parallelism.pp
        self._dp = priced.setup.parallelism.dp
        self._accepted = float(priced.replicas.accepted[0])
        self._mixed = float(priced.replicas.mixed[0])
        self._share = float(np.max(priced.replicas.speeds.prefill_share))
        self._context = max(priced.mix.context, 1.0)
        unified = priced.setup.role == "unified"
        running = (
            np.r_[0.0, _points(1.0, max(most_sequences, 2.0))] if priced.setup.role != "prefill" else np.r_[0.0, 1.0]
        )
        contexts = np.r_[0.0, _points(64.0, max(longest, 128.0))]
        self._decode = GridFunction.of(running, contexts, self._decode_s)
        if priced.setup.role == "decode":
            return
        tokens = np.r_[0.0, _points(16.0, max(float(priced.setup.chunk_tokens), 32.0))]
        levels = COMPANY if self._dp > 1 else (0.0, 1.0)
        beside = running if unified and self._mixed else np.r_[0.0, 1.0]
        tables = {company: self._chunk_tables(tokens, beside, company) for company in levels}
        self._levels = list(levels)
        self._occupied = [tables[company][0] for company in levels]
        self._latency = [tables[company][1] for company in levels]
        keys = np.r_[0.0, _points(64.0, max(longest, float(priced.setup.chunk_tokens), 128.0))]
        self._keys = keys.tolist()
        self._slopes = self._attention(float(priced.setup.chunk_tokens), keys)

    def decode_s(self, sequences: float, context: float) -> float:
        """Seconds between two tokens when a rank runs so many sequences of this mean context."""
        return self._decode(sequences, context)

    def chunk(self, tokens: float, keys: float, sequences: float = 0.0, company: float = 0.0) -> Chunk:
        """A pass of prompt tokens beside running sequences, where the engine mixes them.

        Parameters
        ----------
        keys: mean number of keys before each of the tokens.
        company: prompt tokens of each other data-parallel rank in the same step, over ``tokens``.
        """
        sequences *= self._mixed
        level, t = _cell(self._levels, company) if self._dp > 1 else (0, 0.0)
        occupied = _between(self._occupied, level, t, tokens, sequences)
        latency = _between(self._latency, level, t, tokens, sequences)
        far, near = self._far(keys), self._far(tokens / 2)
        occupied += tokens * (far[0] - near[0])
        latency += tokens * (far[1] - near[1])
        without = self._mixed * self._decode(sequences, self._context) * self._accepted / self._pp
        return Chunk(occupied, latency, self._share * max(occupied - without, 0.0))

    def _far(self, keys: float) -> tuple[float, float]:
        i, t = _cell(self._keys, keys)
        low, high = self._slopes[i], self._slopes[i + 1]
        return low[0] + (high[0] - low[0]) * t, low[1] + (high[1] - low[1]) * t

    def _decode_s(self, sequences: Floats, contexts: Floats) -> Floats:
        return _repeated(self._replicas, len(sequences)).decode_s(sequences, contexts)

    def _chunk_tables(self, tokens: Floats, running: Floats, company: float) -> tuple[GridFunction, GridFunction]:
        def step(prompt: Floats, sequences: Floats) -> tuple[Floats, Floats]:
            load = Load.of(
                decode=sequences / self._pp,
                context=self._context,
                prefill=np.maximum(prompt, 1e-9),
                prefill_keys=prompt / 2,
                others=prompt * company,
            )
            taken = _repeated(self._replicas, len(prompt)).step(load)
            return taken.slowest_s, taken.latency_s

        return (
            GridFunction.of(tokens, running, lambda p, n: step(p, n)[0]),
            GridFunction.of(tokens, running, lambda p, n: step(p, n)[1]),
        )

    def _attention(self, tokens: float, keys: Floats) -> list[tuple[float, float]]:
        """Seconds per prompt token of the keys before it: of the slowest stage, and of all stages."""
        taken = _repeated(self._replicas, len(keys)).step(
            Load.of(prefill=np.full(len(keys), tokens), prefill_keys=keys)
        )
        slowest = (taken.slowest_s - taken.slowest_s[0]) / tokens
        through = (taken.latency_s - taken.latency_s[0]) / tokens
        return list(zip(slowest.tolist(), through.tolist(), strict=True))


def _between(tables: Sequence[GridFunction], level: int, t: float, row: float, column: float) -> float:
    low = tables[level](row, column)
    return low if t == 0 else low + (tables[level + 1](row, column) - low) * t


def _points(low: float, high: float) -> Floats:
    """Geometric points from low to high, both included; whole numbers where they are small."""
    count = max(int(np.ceil(np.log(high / low) / np.log(RATIO))), 1) + 1
    spread = np.geomspace(low, high, count)
    return np.unique(np.r_[np.arange(low, min(high, low + 8)), spread]) if low == 1.0 else spread


def _repeated(replicas: Replicas, count: int) -> Replicas:
    """One shape as many rows."""
    return replicas.rows(np.zeros(count, dtype=np.intp))
