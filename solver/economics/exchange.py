"""What a sparse layer sends: expert parallelism's dispatch and combine, in bytes and in the time they cannot go below."""

from __future__ import annotations

import math
from typing import NamedTuple

from solver.cost.steps.work import COMBINE_WIDTH, DISPATCH_WIDTH


def experts_per_device(experts: int, devices: int) -> float:
    """Experts that a device holds when none is copied."""
    return experts / devices


def idle_share(used: int, domain: int) -> float:
    """Share of a scale-up domain that is left over when a power of two of it is used.

    >>> round(idle_share(64, 72), 3)
    0.111
    """
    return (domain - used) / domain


def dispatch_bytes(tokens: int, top_k: int, width: int) -> float:
    """Bytes of tokens sent to their experts in fp8 with block scales: ``tokens K (d + d/128 x 4)``."""
    return tokens * top_k * width * DISPATCH_WIDTH


def combine_bytes(tokens: int, top_k: int, width: int) -> float:
    """Bytes of results sent back in bf16: ``tokens K d x 2``."""
    return tokens * top_k * width * COMBINE_WIDTH


class ExchangeLimit(NamedTuple):
    """What the exchange alone allows.

    Attributes
    ----------
    exchange_s: dispatch and combine of one layer. tpot_s: both of two micro-batches in every layer.
    """

    exchange_s: float
    tpot_s: float

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of one user at most."""
        return 1 / self.tpot_s


def exchange_limit(
    tokens: int, copies: int, width: int, layers: int, bytes_per_s: float, element_bytes: float = 3.0
) -> ExchangeLimit:
    """Lower bound on TPOT from expert exchange, with two micro-batches that hide each other's compute perfectly.

    Parameters
    ----------
    tokens: of a device's micro-batch. copies: experts a token visits, the shared one included.
    element_bytes: dispatch (fp8, 1) plus combine (bf16, 2).

    Source: DeepSeek-AI, arXiv:2505.09343, section 4.2.

    >>> round(exchange_limit(32, 9, 7000, 61, 50e9).tpot_s * 1e3, 2)
    14.76
    """
    exchange = element_bytes * tokens * copies * width / bytes_per_s
    return ExchangeLimit(exchange, 2 * exchange * layers)


def network_bound_width(element_bytes: float, flops: float, bytes_per_s: float) -> float:
    """Expert FFN width below which the exchange takes longer than the experts' arithmetic: ``beta F / (6 W)``."""
    return element_bytes * flops / (6 * bytes_per_s)


def nodes_reached(nodes: int, experts: int, top_k: int) -> float:
    """Expected number of hosts that hold at least one of a token's experts: ``n (1 - C(E - E/n, K) / C(E, K))``.

    >>> round(nodes_reached(8, 256, 8), 3)
    5.295
    """
    elsewhere = experts - experts // nodes
    return nodes * (1 - math.comb(elsewhere, top_k) / math.comb(experts, top_k))


def nodes_reached_with_replacement(nodes: int, top_k: int) -> float:
    """The same if experts were drawn with replacement: ``n (1 - (1 - 1/n)^K)``; a lower bound."""
    return nodes * (1 - (1 - 1 / nodes) ** top_k)
