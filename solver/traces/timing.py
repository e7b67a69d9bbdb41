"""When a trace starts, how long it is, and how finely it tells time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArrivalTiming:
    """Of a whole trace.

    Attributes
    ----------
    start_s: first arrival on the trace's own clock [s].
    span_s: from the first to the last arrival [s].
    tick_s: resolution of its timestamps; 0 if they are as good as exact [s].
    """

    start_s: float
    span_s: float
    tick_s: float

    def rate(self, total: int, part: int) -> float | None:
        """Arrivals a second of ``part`` of ``total`` requests: gaps over the span, shared out; None of one instant."""
        return (total - 1) / self.span_s * part / total if self.span_s > 0 else None
