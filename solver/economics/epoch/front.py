"""Fronts: the least cost at every speed, over a grid of devices and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.economics.epoch.architecture import Architecture
from solver.economics.epoch.hardware import H100, Accelerator
from solver.economics.epoch.latency import token_s
from solver.errors import BadInput

Floats = NDArray[np.float64]
StepTime = Callable[[Architecture, Accelerator, Floats, Floats, float], Floats]

#: Grid points per side, and the powers of two to which batches per sparsity and devices reach.
GRID = 400
MOST_DOUBLINGS = 18
#: Step times at which a published front is sampled.
SAMPLES = 600
#: Exponent of speed in the preference ``speed^3 / price`` that picks one point of a front.
PREFERENCE = 3


@dataclass(frozen=True)
class FrontPoint:
    """One layout of a front.

    Attributes
    ----------
    tokens_per_s: of one user. usd: per million tokens. devices, batch: real numbers. mfu: of the peak.
    """

    tokens_per_s: float
    usd: float
    devices: float
    batch: float
    mfu: float


@dataclass(frozen=True)
class Front:
    """Cheapest layouts, fastest first; arrays of one length.

    Attributes
    ----------
    tokens_per_s: falling. usd: per million tokens, falling. devices, batch, mfu: of each layout.
    """

    tokens_per_s: Floats
    usd: Floats
    devices: Floats
    batch: Floats
    mfu: Floats

    def point(self, index: int) -> FrontPoint:
        """One layout."""
        columns = self.tokens_per_s, self.usd, self.devices, self.batch, self.mfu
        return FrontPoint(*(float(column[index]) for column in columns))

    @property
    def fastest(self) -> FrontPoint:
        """The fastest layout."""
        return self.point(0)

    @property
    def cheapest(self) -> FrontPoint:
        """The cheapest layout."""
        return self.point(-1)

    def sampled(self, step_s: Floats | None = None) -> Front:
        """Only the cheapest layout within each of some step times [s]; Epoch's own, two decades, where none are given."""
        limits = np.logspace(0, 2, SAMPLES) / self.tokens_per_s[0] if step_s is None else step_s
        last = np.searchsorted(1 / self.tokens_per_s, limits, side="right") - 1
        kept = np.unique(last[last >= 0])
        return Front(*(c[kept] for c in (self.tokens_per_s, self.usd, self.devices, self.batch, self.mfu)))

    def preferred(self, exponent: float = PREFERENCE) -> FrontPoint:
        """The layout with the most ``speed^exponent / price``."""
        return self.point(int(np.argmax(self.tokens_per_s**exponent / self.usd)))

    def usd_at(self, tokens_per_s: float) -> float | None:
        """Least cost of a speed; None beyond the fastest."""
        fast = self.usd[self.tokens_per_s >= tokens_per_s]
        return float(fast[-1]) if len(fast) else None

    def price_of_speed(self, ratio: float) -> float | None:
        """Price ratio of a tier ``ratio`` times as fast as the cheapest layout; None where nothing is as fast."""
        dear = self.usd_at(ratio * self.cheapest.tokens_per_s)
        return None if dear is None else dear / self.cheapest.usd


def front(
    llm: Architecture,
    device: Accelerator = H100,
    usd_per_device_hour: float = 2.0,
    context: float = 0.0,
    step_time: StepTime = token_s,
    grid: int = GRID,
) -> Front:
    """The front of an LLM on any number of devices.

    Raises
    ------
    BadInput: a grid of fewer than two points, or a device too small for any layout.
    """
    if grid < 2:
        raise BadInput(f"front: the grid needs at least 2 points per side, not {grid}")
    fewest = np.log2(llm.parameters * llm.weight_bytes / device.hbm_bytes)
    batches = np.logspace(0, MOST_DOUBLINGS + np.log2(llm.sparsity), base=2, num=grid)
    counts = np.logspace(fewest, MOST_DOUBLINGS, base=2, num=grid)
    devices, batch = (axis.ravel() for axis in np.meshgrid(counts, batches))
    step = step_time(llm, device, devices, batch, context)
    usd = devices * step / batch * usd_per_device_hour / 3600 * 1e6
    order = np.lexsort((usd, step))
    order = order[np.isfinite(step[order])]
    if not len(order):
        raise BadInput(f"front: {llm.name} with a context of {context:,.0f} fits on no number of these devices")
    lowest = np.minimum.accumulate(usd[order])
    kept = order[np.r_[True, lowest[1:] < lowest[:-1]]]
    mfu = llm.flop(context, batch[kept]) / (devices[kept] * device.flops[llm.weight_bytes] * step[kept])
    return Front(1 / step[kept], usd[kept], devices[kept], batch[kept], mfu)
