"""Request classes, and the latency that each was promised."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from solver.errors import BadInput
from solver.workload.fields import Price, Rate, Record, Seconds, Share, Tokens, read_record
from solver.workload.idle import Idle
from solver.workload.lengths import Lengths, lengths
from solver.workload.measures import MEASURES, TPOT_MEAN, Measure
from solver.workload.users import Users


class SLO(Record):
    """Promises about latencies; None means no promise.

    Of each latency the median, the 95th and the 99th percentile and the mean over the requests of a class may be promised,
    each by itself.

    Attributes
    ----------
    ttft_p50_s, ttft_p95_s, ttft_p99_s, ttft_mean_s: time to first token [s].
    tpot_p50_s, tpot_p95_s, tpot_p99_s, tpot_mean_s: a request's mean time per output token after the first [s].
    itl_p50_s, itl_p95_s, itl_p99_s, itl_mean_s: a single gap between two tokens [s]; several times TPOT where prefill shares
        the step.
    e2e_p50_s, e2e_p95_s, e2e_p99_s, e2e_mean_s: from arrival to the last token [s].

    >>> [(str(measure), limit) for measure, limit in SLO(tpot_mean_s=0.04, ttft_p99_s="2s").promised]
    [('TTFT p99', 2.0), ('TPOT mean', 0.04)]
    """

    ttft_p50_s: Seconds | None = Field(None, alias="ttft_p50")
    ttft_p95_s: Seconds | None = Field(None, alias="ttft_p95")
    ttft_p99_s: Seconds | None = Field(None, alias="ttft_p99")
    ttft_mean_s: Seconds | None = Field(None, alias="ttft_mean")
    tpot_p50_s: Seconds | None = Field(None, alias="tpot_p50")
    tpot_p95_s: Seconds | None = Field(None, alias="tpot_p95")
    tpot_p99_s: Seconds | None = Field(None, alias="tpot_p99")
    tpot_mean_s: Seconds | None = Field(None, alias="tpot_mean")
    itl_p50_s: Seconds | None = Field(None, alias="itl_p50")
    itl_p95_s: Seconds | None = Field(None, alias="itl_p95")
    itl_p99_s: Seconds | None = Field(None, alias="itl_p99")
    itl_mean_s: Seconds | None = Field(None, alias="itl_mean")
    e2e_p50_s: Seconds | None = Field(None, alias="e2e_p50")
    e2e_p95_s: Seconds | None = Field(None, alias="e2e_p95")
    e2e_p99_s: Seconds | None = Field(None, alias="e2e_p99")
    e2e_mean_s: Seconds | None = Field(None, alias="e2e_mean")

    def limit(self, measure: Measure) -> float | None:
        """What was promised of a measure [s]."""
        found: float | None = getattr(self, measure.field)
        return found

    @property
    def promised(self) -> tuple[tuple[Measure, float], ...]:
        """Every promise that is made, with its limit [s]."""
        return tuple((m, limit) for m in MEASURES if (limit := self.limit(m)) is not None)

    def over(self, default: SLO) -> SLO:
        """These promises, and the default's where this one makes none."""
        return SLO(**(default.model_dump() | self.model_dump(exclude_none=True)))

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Plans are recognised by their scenario's text: of promises that are not made only those at p95 stand in it."""
        return {k: v for k, v in write(self).items() if v is not None or "_p95" in k}


class Reuse(Record):
    """Prompt tokens that an earlier request may have left in a cache.

    Attributes
    ----------
    shared: tokens common to all requests of the class (system prompt, tools); one copy per cache.
    private: tokens of the same session's history; one copy per session.
    generated: how many of the private ones were the last turn's output, at the end of the history; by default all of
        that output. A prefill pool has them only if decode pools send them back.
    """

    shared: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    private: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    generated: Annotated[int, Field(ge=0, le=100_000_000)] | None = None

    @model_validator(mode="after")
    def _generated_is_private(self) -> Self:
        if self.generated is not None and self.generated > self.private:
            raise ValueError(f"{self.generated} generated tokens are more than the {self.private} private ones")
        return self


def _rate_or_users(schema: dict[str, Any]) -> None:
    """In files a class has a rate or users."""
    schema["required"] = [key for key in schema["required"] if key != "requests_per_s"]
    schema["oneOf"] = [{"required": ["requests_per_s"]}, {"required": ["users"]}]


class RequestClass(Record):
    """One kind of request: how many, how long, and what it was promised.

    Attributes
    ----------
    prompt_tokens, output_tokens: mean lengths [tokens]; the prompt includes what may be reused.
    requests_per_s: arrival rate [1/s]; under the objective ``throughput`` only the proportions count.
    users: in place of a rate: read into ``requests_per_s``, and into ``slo.tpot_mean`` where that makes no promise.
    prompt_cv, output_cv: coefficients of variation of the lengths (0 = every request alike).
    burstiness: squared coefficient of variation of the time between arrivals (1 = Poisson).
    reused_tokens, idle_s, return_fraction: what a later turn finds in the caches, when, and how often it comes.
    longest_tokens: prompt and output of the longest request that engines must accept, where their context is as long;
        two standard deviations above both means if not given.
    slo: its own promises; where it makes none, the scenario's hold.
    price_usd_per_million_output_tokens: what it is sold for, where known.
    """

    model_config = ConfigDict(json_schema_extra=_rate_or_users)

    name: Annotated[str, Field(min_length=1, max_length=80)]
    prompt_tokens: Tokens
    output_tokens: Tokens
    requests_per_s: Rate
    users: Users | None = Field(None, exclude=True)
    prompt_cv: Annotated[float, Field(ge=0, le=10)] = 0.0
    output_cv: Annotated[float, Field(ge=0, le=10)] = 0.0
    burstiness: Annotated[float, Field(ge=1e-6, le=1000)] = 1.0
    reused_tokens: Reuse = Reuse()
    idle_s: Idle | None = None
    return_fraction: Share = 0.0
    longest_tokens: Tokens | None = None
    slo: SLO | None = None
    price_usd_per_million_output_tokens: Price | None = None

    def __init__(self, name: object = None, /, **fields: object) -> None:
        super().__init__(**(fields if name is None else {"name": name, **fields}))

    @model_validator(mode="before")
    @classmethod
    def _rate_of_users(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("users") is None:
            return content
        rest = {key: value for key, value in content.items() if key != "users"}
        if "requests_per_s" in rest:
            raise ValueError("users and requests_per_s both say how much is asked for; leave one out")
        try:
            users = read_record(Users, content["users"], "users")
            promised = read_record(SLO, rest.get("slo") or {}, "slo")
        except BadInput as error:
            raise ValueError(str(error)) from None
        if isinstance(output := rest.get("output_tokens"), int) and output > 0:
            rest["requests_per_s"] = users.requests_per_s(output)
        return rest | {"slo": promised.over(SLO(**{TPOT_MEAN.field: users.tpot_s}))}

    @model_validator(mode="after")
    def _reuse_fits(self) -> Self:
        reused = self.reused_tokens.shared + self.reused_tokens.private
        if reused >= self.prompt_tokens:
            raise ValueError(
                f"class {self.name!r} reuses {reused} tokens of a prompt of {self.prompt_tokens}; "
                f"at most {self.prompt_tokens - 1} can be reused"
            )
        if self.longest_tokens is not None and self.longest_tokens < self.prompt_tokens + self.output_tokens:
            raise ValueError(
                f"class {self.name!r}: its longest request has {self.longest_tokens} tokens, fewer than the mean one; "
                f"at least {self.prompt_tokens + self.output_tokens}"
            )
        if self.reused_tokens.private and self.return_fraction and self.idle_s is None:
            raise ValueError(f"class {self.name!r} returns and reuses private tokens: give idle_s as {{median, p90}}")
        return self

    def promises(self, default: SLO) -> SLO:
        """What it was promised: its own promises, and the scenario's where it has none."""
        return self.slo.over(default) if self.slo else default

    @property
    def usually_at_most(self) -> int:
        """Tokens of a request two standard deviations above the means."""
        prompt, output = self.prompt_tokens * (1 + 2 * self.prompt_cv), self.output_tokens * (1 + 2 * self.output_cv)
        return math.ceil(prompt + output)

    @property
    def prompt_lengths(self) -> Lengths:
        """Prompts over the mean prompt."""
        return self._lengths(self.prompt_tokens, self.prompt_cv)

    @property
    def output_lengths(self) -> Lengths:
        """Outputs over the mean output."""
        return self._lengths(self.output_tokens, self.output_cv)

    def later_tokens(self, share: float | None) -> float:
        """Output tokens after the first that a share of the requests does not exceed; their mean for None."""
        length = 1.0 if share is None else self.output_lengths.quantile(share)
        return max(self.output_tokens * length - 1, 0.0)

    def _lengths(self, mean: int, cv: float) -> Lengths:
        other = self.prompt_tokens + self.output_tokens - mean
        return lengths(cv, ((self.longest_tokens or 0) - other) / mean)

    @property
    def generated_tokens(self) -> int:
        """Private tokens of a later turn that the turn before generated."""
        own = self.reused_tokens.generated
        return min(self.output_tokens, self.reused_tokens.private) if own is None else own

    @property
    def returns(self) -> bool:
        """Whether later turns find private tokens of earlier ones."""
        return bool(self.reused_tokens.private and self.return_fraction)

    @property
    def reuses(self) -> bool:
        """Whether a cache could spare any of its prefill."""
        return self.returns or self.reused_tokens.shared > 0

    @property
    def context_tokens(self) -> float:
        """Mean context of a request over its decode: the prompt and half the output [tokens]."""
        return self.prompt_tokens + self.output_tokens / 2


class Traffic(Record):
    """A mix of request classes and how the router treats their prefixes.

    >>> Traffic([RequestClass("chat", prompt_tokens=4000, output_tokens=1000, requests_per_s=40)]).requests_per_s
    40.0
    """

    classes: Annotated[tuple[RequestClass, ...], Field(min_length=1, max_length=1000)]
    routing: Literal["prefix_aware", "sticky", "random"] = "prefix_aware"

    def __init__(self, classes: object = None, /, **fields: object) -> None:
        super().__init__(**(fields if classes is None else {"classes": classes, **fields}))

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [c.name for c in self.classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two classes are named {twice[0]!r}")
        return self

    @property
    def requests_per_s(self) -> float:
        """Arrivals of all classes together [1/s]."""
        return math.fsum(c.requests_per_s for c in self.classes)

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens asked for by all classes together [tokens/s]."""
        return math.fsum(c.requests_per_s * c.output_tokens for c in self.classes)

    def groups(self, default: SLO) -> tuple[tuple[SLO, tuple[RequestClass, ...]], ...]:
        """Classes by the promise that holds for them, in order of first appearance."""
        found: dict[SLO, list[RequestClass]] = {}
        for request_class in self.classes:
            found.setdefault(request_class.promises(default), []).append(request_class)
        return tuple((slo, tuple(members)) for slo, members in found.items())
