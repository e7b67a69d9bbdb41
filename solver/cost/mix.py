"""The requests one pool serves: classes in fixed proportion, as arrays over classes (C,)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.workload import RequestClass

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mix:
    """Classes in fixed proportion.

    Attributes
    ----------
    share: share of the requests (C,), adds up to 1.
    prompt: prompt tokens to compute (C,), without those found in a cache.
    cached: prompt tokens found in a cache (C,).
    output: output tokens (C,).
    prompt_cv2, output_cv2: squared coefficients of variation of the lengths inside a class (C,).
    burstiness: squared coefficient of variation of the time between arrivals.
    """

    share: Floats
    prompt: Floats
    cached: Floats
    output: Floats
    prompt_cv2: Floats
    output_cv2: Floats
    burstiness: float

    @classmethod
    def of(cls, classes: Sequence[RequestClass], cached: Sequence[float] | None = None) -> Mix:
        """The mix of some classes by their arrival rates; ``cached`` tokens of each prompt need no prefill."""
        rate = np.array([c.requests_per_s for c in classes])
        found = np.zeros(len(classes)) if cached is None else np.asarray(cached, float)
        prompt = np.array([c.prompt_tokens for c in classes], float)
        return cls(
            share=rate / rate.sum(),
            prompt=np.maximum(prompt - found, 1.0),
            cached=found,
            output=np.array([c.output_tokens for c in classes], float),
            prompt_cv2=np.array([c.prompt_cv for c in classes], float) ** 2,
            output_cv2=np.array([c.output_cv for c in classes], float) ** 2,
            burstiness=float(np.dot(rate, [c.burstiness for c in classes]) / rate.sum()),
        )

    def mean(self, values: Floats) -> Floats:
        """Mean over requests of a quantity per class (..., C)."""
        return np.asarray(values) @ self.share

    @property
    def mean_output(self) -> float:
        """Output tokens of a request."""
        return float(self.share @ self.output)

    @property
    def resident(self) -> Floats:
        """Share of the sequences in a decode batch that belong to each class: those with long outputs stay longer (C,)."""
        stay: Floats = self.share * self.output
        return stay / float(stay.sum())

    @property
    def context(self) -> float:
        """Mean context of the sequences in a decode batch: prompt and half of the output [tokens]."""
        return float(self.resident @ (self.prompt + self.cached + self._age))

    @property
    def context_deviation(self) -> float:
        """Standard deviation of the context over the sequences in a decode batch [tokens].

        Prompts vary between and within classes; a sequence's age is spread evenly over its output.
        """
        whole = self.prompt + self.cached
        within = self.prompt_cv2 * whole**2 + self.output**2 * (1 / 12 + self.output_cv2 / 3)
        mean = whole + self._age
        between = float(self.resident @ mean**2) - float(self.resident @ mean) ** 2
        return float(np.sqrt(max(float(self.resident @ within) + between, 0.0)))

    @property
    def _age(self) -> Floats:
        """Mean tokens generated so far by a sequence met in the batch, length-biased (C,)."""
        return self.output * (1 + self.output_cv2) / 2
