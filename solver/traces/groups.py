"""Statistics of a group of requests: what they are like, what they reuse, how they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solver.traces.burstiness import Unevenness
from solver.traces.sketches import Counts, ExactMoments, LogHistogram
from solver.traces.survival import Survival, kaplan_meier

#: Which blocks: those of a session's own history, those many sessions use, or both.
Kind = Literal["private", "shared", "all"]


@dataclass
class LengthHistogram:
    """LengthHistogram in tokens: exact moments, and a histogram for quantiles and drawing."""

    moments: ExactMoments = field(default_factory=ExactMoments)
    histogram: LogHistogram = field(default_factory=LogHistogram)

    def add(self, tokens: NDArray[np.generic]) -> None:
        """Count lengths (n,)."""
        self.moments += ExactMoments.of(tokens)
        self.histogram.add(tokens)

    def __add__(self, other: LengthHistogram) -> LengthHistogram:
        return LengthHistogram(self.moments + other.moments, self.histogram + other.histogram)

    def quantile(self, share: float) -> float:
        """Quantile [tokens], to one per cent."""
        return min(max(self.histogram.quantile(share), self.moments.lowest), self.moments.highest)


@dataclass
class StayTimes:
    """Tokens by the time they stayed idle, of stays that ended in a use and of those that were cut off."""

    reused: LogHistogram = field(default_factory=LogHistogram)
    cut_off: LogHistogram = field(default_factory=LogHistogram)

    def add(self, stays: NDArray[np.void]) -> None:
        """Count stays (n,) of type ``STAY``."""
        for chosen, histogram in ((stays["reused"], self.reused), (~stays["reused"], self.cut_off)):
            histogram.add(stays["idle_s"][chosen], stays["tokens"][chosen])

    def __add__(self, other: StayTimes) -> StayTimes:
        return StayTimes(self.reused + other.reused, self.cut_off + other.cut_off)


@dataclass
class Content:
    """What requests are like and what they find; contents of disjoint groups add up.

    Attributes
    ----------
    prompt, output: lengths [tokens].
    shared: shared tokens found, of every request.
    private: private tokens found, of the requests that found any.
    idle: time since the private tokens were last used, of those requests [s].
    private_stays, shared_stays: what became of the tokens these requests used.
    """

    prompt: LengthHistogram = field(default_factory=LengthHistogram)
    output: LengthHistogram = field(default_factory=LengthHistogram)
    shared: ExactMoments = field(default_factory=ExactMoments)
    private: ExactMoments = field(default_factory=ExactMoments)
    idle: LogHistogram = field(default_factory=LogHistogram)
    private_stays: StayTimes = field(default_factory=StayTimes)
    shared_stays: StayTimes = field(default_factory=StayTimes)

    def add(self, requests: NDArray[np.void]) -> None:
        """Count requests (n,) of type ``REQUEST``."""
        self.prompt.add(requests["prompt"])
        self.output.add(requests["output"])
        self.shared += ExactMoments.of(requests["shared"])
        returns = requests["private"] > 0
        self.private += ExactMoments.of(requests["private"][returns])
        self.idle.add(requests["idle_s"][returns])

    def add_stays(self, stays: NDArray[np.void]) -> None:
        """Count stays (n,) of type ``STAY``."""
        self.private_stays.add(stays[~stays["shared"]])
        self.shared_stays.add(stays[stays["shared"]])

    def __add__(self, other: Content) -> Content:
        return Content(
            self.prompt + other.prompt,
            self.output + other.output,
            self.shared + other.shared,
            self.private + other.private,
            self.idle + other.idle,
            self.private_stays + other.private_stays,
            self.shared_stays + other.shared_stays,
        )


@dataclass(frozen=True)
class Group:
    """A group of requests of one trace.

    Attributes
    ----------
    content: lengths and reuse.
    rate_per_s: mean arrivals a second; None if the whole trace is one instant.
    unevenness: burstiness of the group's own arrivals.
    timeline: its arrivals in equal bins over the trace (bins,).
    """

    content: Content
    rate_per_s: float | None
    unevenness: Unevenness
    timeline: Counts

    @property
    def requests(self) -> int:
        """How many requests."""
        return self.content.prompt.moments.count

    @property
    def shared_tokens(self) -> float:
        """Shared tokens found, mean over all requests [tokens]."""
        return self.content.shared.mean

    @property
    def private_tokens(self) -> float:
        """Private tokens found, mean over the requests that found any [tokens]."""
        return self.content.private.mean

    @property
    def return_fraction(self) -> float:
        """Share of requests that found private tokens of an earlier one."""
        return self.content.private.count / self.requests

    @property
    def reused_share(self) -> float:
        """Share of prompt tokens found."""
        found = self.content.shared.total + self.content.private.total
        return found / max(1, self.content.prompt.moments.total)

    def idle_s(self, share: float) -> float | None:
        """Quantile of the time since a returning request's private tokens were last used [s]; None if none returned."""
        return self.content.idle.quantile(share) if self.content.idle.weight else None

    def survival(self, kind: Kind = "all") -> Survival | None:
        """How long the tokens used by these requests stay idle; None if the trace does not tell.

        Stays belong to the group whose use began them, finds to the group that came later: in the whole trace the two
        agree but for what is cut off, in one group they need not.
        """
        private, shared = self.content.private_stays, self.content.shared_stays
        stays = private if kind == "private" else shared if kind == "shared" else private + shared
        return kaplan_meier(stays.reused, stays.cut_off)
