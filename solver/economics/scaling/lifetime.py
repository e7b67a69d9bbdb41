"""How far to overtrain: parameters and tokens that are cheapest over an LLM's life, training and serving together.

Minimises ``6 N D + 2 N kappa D_inf`` at a loss that is given, where kappa is what a served FLOP costs over a training
FLOP. At the optimum ``alpha A N^-alpha / (beta B D^-beta) = 1 + kappa D_inf / (3 D)``.

Source: Sardana et al., arXiv:2401.00448 (kappa = 1); here kappa may come from a solved layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from solver.economics.scaling.chinchilla import LossLaw
from solver.errors import BadInput

TRAIN_FLOP_PER_TOKEN = 6
SERVE_FLOP_PER_TOKEN = 2
#: Halvings of an interval; beyond what floats can tell apart.
HALVINGS = 200


@dataclass(frozen=True)
class Lifetime:
    """The cheapest size over a life, and the size it replaces.

    Attributes
    ----------
    parameters, tokens: N and D. reference_parameters, reference_tokens: the Chinchilla-optimal LLM of equal loss.
    served_tokens: D_inf. dearness: kappa.
    """

    parameters: float
    tokens: float
    reference_parameters: float
    reference_tokens: float
    served_tokens: float
    dearness: float

    @property
    def training_flop(self) -> float:
        """6 N D."""
        return TRAIN_FLOP_PER_TOKEN * self.parameters * self.tokens

    @property
    def cost_flop(self) -> float:
        """Cost of the life in FLOP of training."""
        return _cost(self.parameters, self.tokens, self.served_tokens, self.dearness)

    @property
    def saved_flop(self) -> float:
        """Saved against the reference."""
        return self.saved_share * self._reference_cost

    @property
    def saved_share(self) -> float:
        """Saved over the reference's cost."""
        return 1 - self.cost_flop / self._reference_cost

    @property
    def _reference_cost(self) -> float:
        return _cost(self.reference_parameters, self.reference_tokens, self.served_tokens, self.dearness)

    def pull(self, law: LossLaw) -> float:
        """Left side of the condition of optimality."""
        return law.pull(self.parameters, self.tokens)

    def tokens_ratio(self) -> float:
        """Training tokens over the reference's."""
        return self.tokens / self.reference_tokens


def cheapest(law: LossLaw, reference_parameters: float, served_tokens: float, dearness: float = 1.0) -> Lifetime:
    """The LLM of equal loss that is cheapest over its life.

    Parameters
    ----------
    reference_parameters: size of the Chinchilla-optimal LLM whose loss is to be reached.
    served_tokens: input and output over its life.
    dearness: kappa; see :func:`dearness_of_serving`.

    Raises
    ------
    BadInput: a negative demand.
    """
    if served_tokens < 0 or dearness < 0 or reference_parameters <= 0:
        raise BadInput("lifetime: parameters must be positive, served tokens and dearness at least 0")
    reference_tokens = law.optimal_tokens(reference_parameters)
    loss = law.loss(reference_parameters, reference_tokens)

    def excess(log_parameters: float) -> float:
        parameters = math.exp(log_parameters)
        tokens = law.tokens_for(loss, parameters)
        return _surplus(law, parameters, tokens, served_tokens, dearness)

    smallest = math.log(law.smallest(loss)) + 1e-9
    parameters = math.exp(_root(excess, smallest, math.log(reference_parameters) + 1e-9))
    tokens = law.tokens_for(loss, parameters)
    return Lifetime(parameters, tokens, reference_parameters, reference_tokens, served_tokens, dearness)


def tokens_at_size(law: LossLaw, parameters: float, served_tokens: float, dearness: float = 1.0) -> float:
    """Training tokens at which a size of LLM is the cheapest of its loss."""

    def lack(log_tokens: float) -> float:
        return -_surplus(law, parameters, math.exp(log_tokens), served_tokens, dearness)

    chinchilla = law.optimal_tokens(parameters)
    beyond = max(chinchilla, served_tokens * max(dearness, 1.0)) * 1e6
    return math.exp(_root(lack, math.log(chinchilla) - 1e-9, math.log(beyond)))


def dearness_of_serving(usd_per_million_tokens: float, active_parameters: float, usd_per_training_flop: float) -> float:
    """kappa from a solved layout: what serving charges for a token's 2 N FLOP over what training would."""
    served_flop = SERVE_FLOP_PER_TOKEN * active_parameters
    return usd_per_million_tokens / 1e6 / (served_flop * usd_per_training_flop)


def usd_per_flop(flops: float, mfu: float, usd_per_device_hour: float) -> float:
    """Price of a FLOP at a utilisation."""
    return usd_per_device_hour / 3600 / (flops * mfu)


def served_tokens(tokens_per_s: float, days: float) -> float:
    """Demand over a life.

    >>> served_tokens(50e6, 60)
    259200000000000.0
    """
    return tokens_per_s * days * 86400


def equal_cost_tokens(flop_per_token: float, dearness: float) -> float:
    """Pre-training tokens per token of another use, when both cost the same: ``flop x kappa / 6``.

    The lecture's heuristic: spend as much on serving (2 FLOP per parameter) and RL (3) as on pre-training (6).
    """
    return flop_per_token * dearness / TRAIN_FLOP_PER_TOKEN


def cost_ratio_at_optimum(falling: float, rising: float) -> float:
    """Where ``A x^-p + B x^q`` is least, the first term over the second is q/p; equal only for p = q.

    Parameters
    ----------
    falling: p. rising: q.
    """
    return rising / falling


def _cost(parameters: float, tokens: float, served: float, dearness: float) -> float:
    return parameters * (TRAIN_FLOP_PER_TOKEN * tokens + SERVE_FLOP_PER_TOKEN * dearness * served)


def _surplus(law: LossLaw, parameters: float, tokens: float, served: float, dearness: float) -> float:
    """Pull towards fewer parameters: positive where the LLM is still too small."""
    weight = SERVE_FLOP_PER_TOKEN * dearness * served / (TRAIN_FLOP_PER_TOKEN * tokens)
    return math.log(law.pull(parameters, tokens) / (1 + weight))


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is zero."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
