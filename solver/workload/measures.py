"""What can be promised: a latency, and the statistic of it over the requests of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["ttft", "tpot", "itl", "e2e"]

#: Latencies in the words of a sentence.
QUANTITIES: dict[Quantity, str] = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "itl": "inter-token latency",
    "e2e": "end-to-end latency",
}
#: Statistics by name, as the share of the requests that they cover; the mean covers none in particular.
STATISTICS: dict[str, float | None] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "mean": None}


@dataclass(frozen=True)
class Measure:
    """A statistic of a latency.

    Attributes
    ----------
    quantity: ``ttft``, time to first token; ``tpot``, a request's mean time per output token after the first; ``itl``, a
        single gap between two tokens; ``e2e``, from arrival to the last token.
    statistic: name of one of :data:`STATISTICS`.

    >>> [str(measure) for measure in MEASURES[:4]], MEASURES[2].key, MEASURES[2].field
    (['TTFT p50', 'TTFT p95', 'TTFT p99', 'TTFT mean'], 'ttft_p99', 'ttft_p99_s')
    """

    quantity: Quantity
    statistic: str

    def __str__(self) -> str:
        return f"{QUANTITIES[self.quantity]} {self.statistic}"

    @property
    def key(self) -> str:
        """Its name in files, where times have units."""
        return f"{self.quantity}_{self.statistic}"

    @property
    def field(self) -> str:
        """Its name in records, in seconds."""
        return f"{self.key}_s"

    @property
    def share(self) -> float | None:
        """Share of the requests that it covers; None: it is the mean."""
        return STATISTICS[self.statistic]

    @property
    def tail(self) -> bool:
        """Whether it is about the slow requests, of which a pool with a few can have them all."""
        return self.share is not None and self.share > 0.5

    def of(self, quantity: Quantity) -> Measure:
        """The same statistic of another latency."""
        return Measure(quantity, self.statistic)


#: All that can be promised and is predicted, in the order in which it is told.
MEASURES = tuple(Measure(quantity, statistic) for quantity in QUANTITIES for statistic in STATISTICS)
TTFT_P50, TTFT_P95 = Measure("ttft", "p50"), Measure("ttft", "p95")
TPOT_P50, TPOT_P95, TPOT_MEAN = Measure("tpot", "p50"), Measure("tpot", "p95"), Measure("tpot", "mean")
