"""What a pipeline stage may be: layers on some devices of one type in one domain, with what they take there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from solver.errors import BadInput

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StageKind:
    """A stage on ``tp`` devices of one type inside one domain (or host).

    Attributes
    ----------
    layer_s: time of each layer in a step, by layer (layers,) [s]; any unit that is the same for all kinds.
    layer_bytes: weights and KV cache of each layer on the fullest rank, with all micro-batches in flight (layers,).
    memory_bytes: what a rank has for them, after activations, buffers and what the engine keeps.
    first_s, first_bytes: what the first stage has besides its layers (embedding).
    last_s, last_bytes: what the last stage has besides (final norm, output head, draft layers).
    """

    device: str
    tp: int
    domain: str
    layer_s: Floats
    layer_bytes: Floats
    memory_bytes: float
    first_s: float = 0.0
    first_bytes: float = 0.0
    last_s: float = 0.0
    last_bytes: float = 0.0

    @classmethod
    def of(
        cls,
        device: str,
        tp: int,
        domain: str,
        layer_s: Sequence[float],
        layer_bytes: Sequence[float],
        memory_bytes: float,
        first: tuple[float, float] = (0.0, 0.0),
        last: tuple[float, float] = (0.0, 0.0),
    ) -> StageKind:
        """Check and wrap; ``first`` and ``last`` are (seconds, bytes) of what the ends of the pipeline have besides.

        Raises
        ------
        BadInput: no layers, or a quantity that is negative or not finite.
        """
        times, sizes = np.asarray(layer_s, np.float64), np.asarray(layer_bytes, np.float64)
        if times.ndim != 1 or times.shape != sizes.shape or not times.size:
            raise BadInput(
                f"a stage on {device} needs one time and one size for each layer; got {times.shape}, {sizes.shape}"
            )
        numbers = np.concatenate([times, sizes, [memory_bytes], first, last])
        if not np.isfinite(numbers).all() or (numbers < 0).any() or tp < 1:
            raise BadInput(
                f"a stage on {device} x {tp}: times, sizes and memory must be finite and >= 0, tp at least 1"
            )
        return cls(device, tp, domain, times, sizes, memory_bytes, *first, *last)

    @property
    def layers(self) -> int:
        """Layers of the LLM."""
        return len(self.layer_s)

    def time_s(self, first: int, end: int) -> float:
        """Time of a stage with layers ``first <= layer < end`` [s]."""
        return float(self.times_s[first, end])

    def bytes(self, first: int, end: int) -> float:
        """Memory of such a stage on its fullest rank."""
        return float(self._over_runs(self.layer_bytes, self.first_bytes, self.last_bytes)[first, end])

    @cached_property
    def times_s(self) -> Floats:
        """Time of every run, by first layer and end (layers + 1, layers + 1); infinite if empty or beyond the memory."""
        times = self._over_runs(self.layer_s, self.first_s, self.last_s)
        sizes = self._over_runs(self.layer_bytes, self.first_bytes, self.last_bytes)
        layer = np.arange(self.layers + 1)
        fits = (sizes <= self.memory_bytes * (1 + 1e-12)) & (layer[:, None] < layer)
        return np.where(fits, times, np.inf)

    def _over_runs(self, each: Floats, first: float, last: float) -> Floats:
        before = np.concatenate([[0.0], np.cumsum(each)])
        total: Floats = before[None, :] - before[:, None]
        total[0] += first
        total[:, -1] += last
        return total
