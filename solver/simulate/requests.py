"""What the simulation serves: one request, from its arrival to its last token."""

from __future__ import annotations

from typing import NamedTuple


class Arrival(NamedTuple):
    """A request as traffic brings it.

    Attributes
    ----------
    time_s: since the start [s].
    class_name: the request class of the plan that it belongs to.
    prompt_tokens, output_tokens: lengths; the prompt includes what may be cached.
    session: the conversation it continues; None = of no known one.
    shared_tokens, private_tokens: of the prompt, what an unbounded cache would hold.
    idle_s: age of the session's cache where traffic knows it; None = told by the session's last end.
    """

    time_s: float
    class_name: str
    prompt_tokens: int
    output_tokens: int
    session: int | str | None = None
    shared_tokens: int = 0
    private_tokens: int = 0
    idle_s: float | None = None


class ServedRequest:
    """The state of one request.

    Attributes
    ----------
    compute, cached: prompt tokens to prefill, and those found in a cache, in the present attempt.
    generated: tokens that the client has; base: those of them that are part of the present attempt's prompt.
    first_s, end_s: when the first and the last token were out [s].
    attempt: how often it was started; whatever an earlier attempt set in motion no longer counts.
    done: prompt tokens prefilled. latency_s: time that its passes take alone; spent_s: when its first token will be out.
    finish_step: step of its rank at which it ends; -1 = it lost its place.
    lag_s: how much later than on the device the client sees its tokens. load_s: to load what it reuses.
    alone_s: what its first token would take if nobody else were there: admission, loading, passes, and that lag.
    """

    __slots__ = (
        *("arrival", "attempt", "base", "cached", "compute", "done", "end_s", "finish_step", "first_s", "generated"),
        *("alone_s", "lag_s", "latency_s", "load_s", "spent_s"),
    )

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.attempt = 0
        self.generated = 0
        self.first_s = self.end_s = -1.0
        self.load_s = 0.0
        self.begin(arrival.prompt_tokens, 0)

    def begin(self, compute: int, cached: int) -> None:
        """Start (over) with so many prompt tokens to prefill."""
        self.compute, self.cached = compute, cached
        self.done = 0.0
        self.latency_s = self.spent_s = self.lag_s = self.alone_s = 0.0
        self.finish_step = 0
        self.base = self.generated
        self.attempt += 1

    def again(self) -> None:
        """Start over after its caches were lost: what was generated becomes part of the prompt."""
        self.load_s = 0.0
        self.begin(self.arrival.prompt_tokens + self.generated, 0)

    @property
    def context(self) -> int:
        """Tokens in its KV cache once its prompt is prefilled."""
        return self.compute + self.cached

    @property
    def left(self) -> int:
        """Output tokens still to come."""
        return self.arrival.output_tokens - self.generated
