"""Where an engine's step changes from waiting for memory to waiting for arithmetic, and what the network adds.

The LLM lies evenly on its devices, so that their number cancels: arithmetic and reading are each divided by it. Times are
those of the engine (:mod:`solver.cost.steps`), part by part in its number format: MLA's FLOP, sparse attention's budget,
shared experts, experts that nobody selects and KV caches all count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.steps.speeds import Speeds
from solver.cost.steps.step import Load, StagePlacement, StepTime, step
from solver.cost.steps.work import Degrees, Work
from solver.economics.roofline import Serving, attention_flop, kv_read_bytes, without_selection
from solver.economics.trains import drain_s
from solver.errors import BadInput
from solver.llm import LLM
from solver.replica import Parallelism
from topologies import Device

Floats = NDArray[np.float64]

#: Batches and contexts among which a crossing is looked for.
MOST_BATCH, MOST_CONTEXT = 1e9, 1e9
#: Points of a search, which is repeated between two of them: a crossing is known to 2e-4.
POINTS, ROUNDS = 385, 2


class Roofs(NamedTuple):
    """Seconds that the arithmetic and the memory traffic of steps would take alone, and the steps as the engine has them."""

    compute_s: Floats
    memory_s: Floats
    step_s: Floats


class ThirdRoof(NamedTuple):
    """What exchanging activations takes on the smallest group of devices that holds the weights.

    Attributes
    ----------
    shape: of that group. over_compute: seconds of its collectives over those of its arithmetic, both grow with the batch.
    """

    shape: Parallelism
    over_compute: float


class Selection(NamedTuple):
    """What sparse attention spares a token at a context: arithmetic and bytes with it over those of all keys.

    >>> import topologies
    >>> spared = balance(LLM.from_config("deepseek-v3.2"), topologies.device("gb200"), 100_000).selection
    >>> f"{spared.flop:.2f} of the arithmetic, {spared.byte:.2f} of the bytes"
    '0.08 of the arithmetic, 0.14 of the bytes'
    """

    flop: float
    byte: float


@dataclass(frozen=True)
class BalancePoint:
    """One LLM on one device at a context [tokens]; ``calibration`` says whose kernels run."""

    llm: LLM
    device: Device
    context: float = 0.0
    calibration: Calibration = field(default_factory=Calibration)

    @cached_property
    def lecture(self) -> Serving:
        """The closed form of the same."""
        return Serving.of(self.llm, self.device, context=self.context)

    @cached_property
    def batch(self) -> float | None:
        """Sequences at which arithmetic takes as long as memory traffic; None where it never does."""
        return _crossing(lambda batches: self._excess(batches, np.full_like(batches, self.context)), 1.0, MOST_BATCH)

    @cached_property
    def step_s(self) -> float | None:
        """Seconds of the step at the balance batch, times the devices it is spread over."""
        return None if self.batch is None else float(self.reading(np.array([self.batch])).step_s[0])

    @cached_property
    def kv_context(self) -> float | None:
        """Context at which reading KV caches takes as long as reading weights, at the balance batch of a short context."""
        short = BalancePoint(self.llm, self.device, 0.0, self.calibration).batch
        if short is None:
            return None

        def more(contexts: Floats) -> Floats:
            batches = np.full_like(contexts, short)
            weights = self.reading(batches, np.zeros_like(contexts)).memory_s
            return self.reading(batches, contexts).memory_s - 2 * weights

        return _crossing(more, 1.0, MOST_CONTEXT)

    @cached_property
    def last_context(self) -> float | None:
        """Context from which on no batch makes decoding wait for arithmetic; None where every context has such a batch."""
        most = np.array([MOST_BATCH])

        def short(contexts: Floats) -> Floats:
            return -self._excess(np.repeat(most, len(contexts)), contexts)

        return _crossing(short, 1.0, MOST_CONTEXT)

    @property
    def drain_s(self) -> float:
        """Seconds to read all HBM once."""
        return drain_s(self.device.hbm_bytes, self.device.hbm_bytes_per_s)

    @cached_property
    def third_roof(self) -> ThirdRoof | None:
        """The network on the smallest power of two of devices with room for the weights; None where one device has it."""
        ranks = 1
        while ranks * self.device.hbm_bytes < self.llm.weight_bytes:
            ranks *= 2
        if ranks == 1:
            return None
        shape = Parallelism(dp=ranks, ep=ranks) if self.llm.experts else Parallelism(tp=ranks)
        domains = math.ceil(ranks / self.device.scale_up_domain)
        batch = np.array([(self.batch or MOST_BATCH) / shape.dp])
        compute, _, network, _ = self._step(shape, domains, batch, np.array([self.context])).parts_s()
        return ThirdRoof(shape, float(network[0] / compute[0]))

    @cached_property
    def selection(self) -> Selection | None:
        """What its sparse attention spares at this context; None where it attends to all keys anyway."""
        whole = without_selection(self.llm)
        if whole == self.llm or not self.context:
            return None
        flop, byte = (of(self.llm, self.context) / of(whole, self.context) for of in (attention_flop, kv_read_bytes))
        return Selection(flop, byte)

    def reading(self, batch: Floats, context: Floats | None = None) -> Roofs:
        """Arithmetic, memory traffic and steps of whole batches on one device that had room for all (N,)."""
        contexts = np.full_like(batch, self.context) if context is None else context
        found = self._step(Parallelism(), 1, batch, contexts)
        compute, memory, _, _ = found.parts_s()
        return Roofs(compute, memory, found.latency_s)

    def _excess(self, batch: Floats, context: Floats) -> Floats:
        found = self.reading(batch, context)
        return found.compute_s - found.memory_s

    def _step(self, shape: Parallelism, domains: int, batch: Floats, context: Floats) -> StepTime:
        rows, one = np.zeros(len(batch), np.intp), np.ones(len(batch))
        work = Work.of(self.llm, Degrees.of([shape]), np.zeros(1), [()]).rows(rows)
        spread = StagePlacement.of(work.ep, one * domains, one * domains, one * self.calibration.imbalance, 0 * one)
        speeds = Speeds.of(self.device, self.llm.precision, self.calibration)
        return step(work, speeds, spread, Load.of(decode=batch, context=context))

    def disagreement(self) -> str:
        """Why the lecture's closed form puts the balance batch elsewhere by more than 2 %; empty where it does not."""
        closed, ours = self.lecture.crossover_batch, self.batch
        if ours is None or math.isinf(closed):
            return "" if (ours is None) == math.isinf(closed) else "KV reading and arithmetic grow almost alike"
        if math.isclose(closed, ours, rel_tol=0.02):
            return ""
        if self.calibration.engine != "ideal":
            return f"kernels of {self.calibration.engine} reach {self._reach():.0%} of the peaks' ratio"
        return "not every expert is read at this batch" if self.llm.experts else "the batch is below one sequence"

    def _reach(self) -> float:
        """The ratio of arithmetic to reading that kernels reach, over that of the data sheet."""
        ideal = BalancePoint(self.llm, self.device, self.context)
        ours, theirs = (one.reading(np.array([MOST_BATCH])).compute_s[0] for one in (self, ideal))
        read, sheet = (one.reading(np.array([1.0])).memory_s[0] for one in (self, ideal))
        return float(theirs / ours * read / sheet)


def balance(llm: LLM, device: Device, context: float = 0.0, calibration: Calibration | None = None) -> BalancePoint:
    """The balance of an LLM on a device.

    Raises
    ------
    BadInput: a context that the LLM was not released for.
    """
    if not 0 <= context <= llm.max_context:
        raise BadInput(
            f"balance: {llm.name} was released for 0 to {llm.max_context:,} tokens of context, not {context:,.0f}"
        )
    return BalancePoint(llm, device, context, calibration or Calibration())


def _crossing(rising: Callable[[Floats], Floats], low: float, high: float) -> float | None:
    """Where a function that starts below zero first is above it; ``low`` where it starts there, None where it never is."""
    for _ in range(ROUNDS):
        places = np.geomspace(low, high, POINTS)
        above = np.flatnonzero(rising(places) >= 0)
        if not len(above):
            return None
        if above[0] == 0:
            return float(places[0])
        low, high = places[above[0] - 1], places[above[0]]
    return float(high)
