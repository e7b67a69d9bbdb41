"""The cheapest sparsity at equal quality: how small a routed LLM may be, and what serving it then costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from solver.economics.money import usd_per_million_tokens
from solver.economics.roofline import Serving
from solver.economics.scaling.routed import RoutedLaw, total_parameter_factor
from solver.errors import BadInput

#: Halvings of an interval; beyond what floats can tell apart.
HALVINGS = 100


@dataclass(frozen=True)
class ServedSparsity:
    """A sparsity and its cost.

    Attributes
    ----------
    experts: E. parameters: of the dense part, what a token meets. total_parameters: with all experts.
    usd: per million tokens at the batch asked for.
    """

    experts: int
    parameters: float
    total_parameters: float
    usd: float


def parameters_for(law: RoutedLaw, effective: float, experts: float) -> float:
    """Dense size at which so many experts are worth an effective size.

    >>> from solver.economics.scaling.routed import S_BASE
    >>> round(parameters_for(S_BASE, 1e9, 1) / 1e9, 6)
    1.0
    """
    if effective > law.cutoff:
        raise BadInput(f"scaling: the law holds up to {law.cutoff:.3g} parameters, not at {effective:.3g}")
    low, high = 1.0, effective
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if law.effective_parameters(middle, experts) < effective:
            low = middle
        else:
            high = middle
    return high


def serve_at_equal_quality(
    law: RoutedLaw,
    effective: float,
    experts: Sequence[int],
    devices: int,
    flops: float,
    bytes_per_s: float,
    usd_per_device_hour: float,
    batch: float,
    routed_share: float = 1 / 3,
    bytes_per_weight: float = 1.0,
) -> list[ServedSparsity]:
    """Cost of every sparsity at equal quality and batch, on the lecture's roofline.

    Few sequences read many experts for little arithmetic: at small batches sparsity costs, at large ones it pays.

    Parameters
    ----------
    effective: dense parameters of equal loss. routed_share: of the parameters that are copied; 1/3 = every other FFN.
    """
    found = []
    for number in experts:
        size = parameters_for(law, effective, number)
        whole = size * total_parameter_factor(number, routed_share)
        step = Serving(
            devices=devices,
            flops=flops,
            bytes_per_s=bytes_per_s,
            weight_bytes=whole * bytes_per_weight,
            active_parameters=size,
        ).step_s(batch)
        found.append(ServedSparsity(number, size, whole, usd_per_million_tokens(devices, usd_per_device_hour, batch / step)))
    return found
