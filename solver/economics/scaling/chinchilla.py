"""Chinchilla: loss of a dense LLM by parameters and tokens, ``L = E + A/N^alpha + B/D^beta``."""

from __future__ import annotations

from dataclasses import dataclass

from solver.errors import BadInput


@dataclass(frozen=True)
class LossLaw:
    """One fit of the law.

    Attributes
    ----------
    irreducible: E [nats]. a, alpha: of parameters. b, beta: of tokens.

    >>> round(BESIROGLU.optimal_tokens(70e9) / 70e9, 1)
    18.4
    """

    irreducible: float
    a: float
    alpha: float
    b: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats per token."""
        return float(self.irreducible + self.a / parameters**self.alpha + self.b / tokens**self.beta)

    def optimal_tokens(self, parameters: float) -> float:
        """Tokens for which this size is the best use of its training compute: ``alpha A N^-alpha = beta B D^-beta``."""
        pull = self.alpha * self.a * parameters**-self.alpha
        return float((self.beta * self.b / pull) ** (1 / self.beta))

    def tokens_for(self, loss: float, parameters: float) -> float:
        """Tokens with which a size reaches a loss.

        Raises
        ------
        BadInput: a size that cannot reach it with any amount of data.
        """
        left = loss - self.irreducible - self.a / parameters**self.alpha
        if left <= 0:
            raise BadInput(f"scaling: {parameters:.3g} parameters cannot reach a loss of {loss:.4g} with any data")
        return float((self.b / left) ** (1 / self.beta))

    def smallest(self, loss: float) -> float:
        """Parameters below which a loss is out of reach."""
        return float((self.a / (loss - self.irreducible)) ** (1 / self.alpha))

    def pull(self, parameters: float, tokens: float) -> float:
        """How much more a relative change of N moves the loss than one of D: ``alpha A N^-alpha / (beta B D^-beta)``."""
        return float(self.alpha * self.a * parameters**-self.alpha / (self.beta * self.b * tokens**-self.beta))


#: Hoffmann et al., arXiv:2203.15556, with exponents as Sardana et al. use them; the rounded .34 and .28 do not
#: reproduce their table.
HOFFMANN = LossLaw(1.69, 406.4, 0.336, 410.7, 0.283)
#: Hoffmann's fit in full digits, recovered from the paper's source.
HOFFMANN_EXACT = LossLaw(1.6934, 406.4, 0.3392, 410.7, 0.2849)
#: Besiroglu et al., arXiv:2404.10102: the same data, fitted again.
BESIROGLU = LossLaw(1.8172, 482.01, 0.3478, 2085.43, 0.3658)
