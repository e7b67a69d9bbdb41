"""Samples of reuse: how long tokens had been idle when a request found them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solver.errors import BadInput
from solver.traces.found import STAY
from solver.traces.measure import Measured, no_collector
from solver.traces.reading import Reading, Trace
from solver.traces.sampling import Sample
from solver.traces.spool import ROWS


@dataclass(frozen=True)
class ReuseTimes:
    """Finds of a trace; iterate for ``(idle_s, tokens, kind)``, in order of the finds.

    Attributes
    ----------
    idle_s: since the found tokens were last used (n,) [s].
    tokens: how many were found at once (n,): stretches always used together, so far, are one find.
    shared: whether many sessions had used them (n,).
    seen: finds in the whole trace; more than n if these are a sample, each find equally likely to be in it.
    horizon_s: finds after longer idle times are missing in part; None if none are [s].
    """

    idle_s: NDArray[np.float64]
    tokens: NDArray[np.int64]
    shared: NDArray[np.bool_]
    seen: int
    horizon_s: float | None

    def __len__(self) -> int:
        return len(self.idle_s)

    def __iter__(self) -> Iterator[tuple[float, int, Literal["shared", "private"]]]:
        columns = self.idle_s.tolist(), self.tokens.tolist(), self.shared.tolist()
        for idle_s, tokens, shared in zip(*columns, strict=True):
            yield idle_s, tokens, "shared" if shared else "private"


def reuse_times(path: str | Path, reading: Reading | None = None, *, most: int = 100_000, seed: int = 0) -> ReuseTimes:
    """When prompt tokens were found again, in a cache without bounds.

    Parameters
    ----------
    most: finds to keep; all of them if there are no more, else a seeded sample.

    Raises
    ------
    BadInput: as :func:`solver.traces.summarise`.
    """
    if most < 1:
        raise BadInput(f"most of {most} finds: keep at least 1")
    how = reading or Reading()
    measured = Measured(Trace(path, how), how)
    sample, stays = Sample(most, seed, STAY), measured.tracker.stays
    with no_collector():
        for _ in measured:
            if len(stays) >= ROWS:
                _offer(sample, stays.take())
    _offer(sample, stays.take())
    rows = sample.rows
    return ReuseTimes(
        rows["idle_s"].copy(),
        rows["tokens"].astype(np.int64),
        rows["shared"].copy(),
        sample.seen,
        measured.tracker.horizon_s,
    )


def _offer(sample: Sample, stays: NDArray[np.void]) -> None:
    sample.add(stays[stays["reused"]])
