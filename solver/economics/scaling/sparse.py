"""Loss against sparsity and granularity, as fitted by others on families of mixture-of-experts LLMs."""

from __future__ import annotations

from dataclasses import dataclass


def abnar_loss(parameters: float, tokens: float, sparsity: float) -> float:
    """Loss of an MoE of so many total parameters of which a share ``sparsity`` is inactive.

    ``a N^-al + b D^-be + c (1-S)^-la + d (1-S)^-de N^-ga + e``

    Source: Abnar et al., arXiv:2501.12370, equation 6 and Table 3.
    """
    active = 1 - sparsity
    return float(
        16612.50 / parameters**0.5962
        + 5455.67 / tokens**0.3954
        + 0.4598 / active**-0.1666
        + 17.26 / (active**0.1603 * parameters**0.1595)
        + 0.94
    )


@dataclass(frozen=True)
class GranularLaw:
    """Loss of an MoE by active size, tokens and granularity (experts made G times as small and as many).

    ``L = c + (g / G^gamma + a) / N^alpha + b / D^beta``

    Source: Krajewski et al., arXiv:2402.07871, Table 1 (64 times expanded).
    """

    a: float = 18.1
    alpha: float = 0.115
    b: float = 30.8
    beta: float = 0.147
    g: float = 2.1
    gamma: float = 0.58
    c: float = 0.47

    def loss(self, parameters: float, tokens: float, granularity: float) -> float:
        """Loss in nats per token.

        Parameters
        ----------
        parameters: non-embedding, active.
        """
        return float(
            self.c + (self.g / granularity**self.gamma + self.a) / parameters**self.alpha + self.b / tokens**self.beta
        )

    def effective_parameters(self, parameters: float, granularity: float) -> float:
        """Active parameters that reach the same loss at granularity 1."""
        gain = (self.g + self.a) / (self.g / granularity**self.gamma + self.a)
        return float(parameters * gain ** (1 / self.alpha))
