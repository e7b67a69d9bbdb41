"""Demand as people have it: so many users, each of whom reads, thinks and asks again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from solver.workload.fields import Pause, Record, Tokens


class Users(Record):
    """A closed loop, planned for at the speed that its users are promised.

    A user waits for an answer of n tokens at v tokens/s and thinks for Z seconds, so that N users send
    N / (Z + (n - 1) / v) requests/s; the wait for the first token is left out, which asks for a little more. If a plan
    serves that rate, the loop runs at it or below; where answers come faster than promised and users return sooner, they
    do so only until the mean answer takes what was promised (T(X) = N / X - Z falls with the rate X).
    Promises on the time to first token are kept at the planned rate, not at one that faster answers bring about.

    Attributes
    ----------
    count: users at work at the same time.
    tokens_per_s: speed that each is promised; a promise on the mean of TPOT.
    think_s: from the last token of an answer to the next prompt [s].

    >>> Users(count=80, tokens_per_s=25, think="14s").requests_per_s(501)
    2.3529411764705883
    """

    count: Annotated[int, Field(ge=1, le=1_000_000_000)]
    tokens_per_s: Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]
    think_s: Pause = Field(alias="think")

    def requests_per_s(self, output_tokens: Tokens) -> float:
        """Requests of all users together at the promised speed, with answers of so many tokens [1/s]."""
        return self.count / (self.think_s + max(output_tokens - 1, 1) / self.tokens_per_s)

    @property
    def tpot_s(self) -> float:
        """The promised time per output token [s]."""
        return 1 / self.tokens_per_s
