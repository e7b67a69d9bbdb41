"""Effective parameters of routed language models: what E experts are worth in dense parameters.

``log10 L = a log10 N + b log10 E^ + c log10 N log10 E^ + d`` with the saturating expert count
``1/E^ = 1/(E - 1 + 1/(1/Es - 1/Em)) + 1/Em``; the effective parameter count (EPC) is the dense size of equal loss.

Source: Clark et al., arXiv:2202.01169, equations 1 to 5 and Table 3. The printed coefficients are coarse: those of
RL-R and HASH do not reproduce the printed cut-offs, so nothing beyond a cut-off is trusted here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.errors import BadInput


@dataclass(frozen=True)
class RoutedLaw:
    """Coefficients of one routing technique.

    Attributes
    ----------
    a, b, c, d: as in the law; d cancels from effective counts. start, most: Es and Em, where experts begin and cease to
    count.
    """

    a: float
    b: float
    c: float
    start: float
    most: float
    d: float = 0.0

    def saturated(self, experts: float) -> float:
        """E^: the experts that count."""
        return 1 / (1 / (experts - 1 + 1 / (1 / self.start - 1 / self.most)) + 1 / self.most)

    def log_loss(self, parameters: float, experts: float) -> float:
        """log10 of the loss."""
        n, e = math.log10(parameters), math.log10(self.saturated(experts))
        return self.a * n + self.b * e + self.c * n * e + self.d

    def effective_parameters(self, parameters: float, experts: float) -> float:
        """Dense parameters of equal loss: solves ``L(N_eff, 1) = L(N, E)``.

        Raises
        ------
        BadInput: fewer than one expert, or a size beyond the cut-off.
        """
        if experts < 1:
            raise BadInput(f"scaling: an LLM has at least one expert, not {experts:g}")
        if parameters > self.cutoff:
            raise BadInput(
                f"scaling: at {parameters:.3g} parameters experts no longer help by this law; "
                f"it holds up to {self.cutoff:.3g}"
            )
        one = math.log10(self.saturated(1))
        target = self.log_loss(parameters, experts) - self.d - self.b * one
        return float(10 ** (target / (self.a + self.c * one)))

    @property
    def cutoff(self) -> float:
        """Dense size from which on experts no longer lower the loss: ``10^(-b/c)``.

        >>> round(-S_BASE.b / S_BASE.c)
        12
        """
        return float(10 ** (-self.b / self.c))


S_BASE = RoutedLaw(a=-0.082, b=-0.108, c=0.009, start=1.847, most=314.478)
RL_R = RoutedLaw(a=-0.083, b=-0.126, c=0.012, start=1.880, most=469.982)
HASH = RoutedLaw(a=-0.087, b=-0.136, c=0.012, start=4.175, most=477.741)


def total_parameter_factor(experts: int, routed_share: float) -> float:
    """Total over dense parameters when the routed share of them is copied: ``1 + phi (E - 1)``.

    64 experts in every other FFN (phi = 1/3) are 22 times the parameters, not 64 as the lecture has it.
    """
    return 1 + routed_share * (experts - 1)
