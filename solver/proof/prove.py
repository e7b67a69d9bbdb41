"""Whether a plan's bound follows: the rows are solved, and where they alone leave room the goods in use are priced finer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.plan import Plan
from solver.proof.stock import Stock, stock
from solver.replica import SERVING_ENGINES, Engine
from solver.space.profiles import Column

try:
    from solver.proof.rows import Answer, Program
except ModuleNotFoundError as error:
    raise BadInput("a second proof needs HiGHS: pip install 'rackplan[proof]'") from error

#: Two figures of one bound differ by rounding up to this.
ROUNDING = 1e-5
#: What the proof shares with the search, so that it can be wrong with it.
SHARED = "enumeration of layouts and physics of prices are the search's own"


@dataclass(frozen=True)
class Proof:
    """What can be said of a bound.

    Attributes
    ----------
    verdict: ``follows``; ``refuted``, by ``counterexample``; or ``undecided``.
    stated: the plan's bound; proven: what the rows here prove, both in USD per million output tokens.
    counterexample: replicas, at rates that a plan may count on, which cost less than the stated bound. They are counted
        against devices, hosts and domains, not placed, and links are not loaded with them.
    outside: what the rows do not know of, where it could raise the bound.
    rows, columns, seconds: size of the last program, and time for all.
    """

    verdict: Literal["follows", "refuted", "undecided"]
    stated: float
    proven: float
    counterexample: str = ""
    outside: tuple[str, ...] = ()
    rows: int = 0
    columns: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        said = {
            "follows": f"the bound of {self.stated:.6g} follows: these rows prove {self.proven:.6g}",
            "refuted": f"the bound of {self.stated:.6g} is refuted by {self.counterexample}; counted, not placed",
            "undecided": f"undecided: these rows prove {self.proven:.6g} where {self.stated:.6g} is stated",
        }[self.verdict]
        left = f"; they do not know of {', '.join(self.outside)}" if self.outside and self.verdict == "undecided" else ""
        return f"{said}{left} ({self.columns:,} columns, {self.rows:,} rows, {self.seconds:.1f} s; {SHARED})"


def prove(plan: Plan, seconds: float = 60.0) -> Proof:
    """Prove the bound of a plan once more.

    Parameters
    ----------
    seconds: wall time after which it is undecided.
    """
    begun, instance = time.monotonic(), Instance.of(plan.scenario)

    def left() -> float:
        return begun + seconds - time.monotonic()

    outside = tuple(_outside(instance))
    stated, proven, size = plan.objective.bound, math.inf, (0, 0)
    target = _target(instance, stated)
    for sharing, engine in product(instance.sharings(), _engines(plan)):
        shared = instance.shared(sharing)
        search = _Search(shared, stock(shared, engine), target)
        bound = search.bound(left)
        found = search.counterexample(left()) if not outside and not search.enough(bound) else ""
        size = max(size, search.size)
        if found:
            return Proof("refuted", stated, stated, found, outside, *size, time.monotonic() - begun)
        proven = min(proven, _money(instance, bound))
    # An idle cache shortens prompts: with one, goods serve more than they do here.
    follows = proven >= stated * (1 - ROUNDING) and not any(each in outside for each in _CHEAPER)
    return Proof(
        "follows" if follows else "undecided", stated, min(proven, stated) if follows else proven, "", outside, *size,
        time.monotonic() - begun,
    )  # fmt: skip


#: What can make plans cheaper than these rows know.
_CHEAPER = ("idle KV that is kept between turns",)


def _outside(instance: Instance) -> list[str]:
    options = instance.scenario.options
    found = list(_CHEAPER) if any(c.return_fraction for c in instance.scenario.traffic.classes) else []
    found += ["survival"] if options.survive_domain_failures or options.survive_host_failures else []
    found += ["pins that must be in the plan"] if instance.scenario.constraints.pools else []
    return found


def _engines(plan: Plan) -> tuple[Engine, ...]:
    wanted = plan.scenario.engine
    return SERVING_ENGINES if wanted == "auto" else (plan.pools[0].engine,)


def _tokens_per_hour(instance: Instance) -> float:
    """Output tokens per hour of the traffic as it is asked for [millions]."""
    return math.fsum(c.requests_per_s * c.output_tokens for c in instance.scenario.traffic.classes) * 3600 / 1e6


def _whole_rent(instance: Instance) -> float:
    """USD per hour of the whole cluster."""
    nodes = instance.cluster.nodes.values()
    return math.fsum(instance.usd_per_hour(data["device"]) for data in nodes if data["kind"] == "device")


def _target(instance: Instance, usd_per_million: float) -> float:
    """A cost per million output tokens in what the rows are about: USD/h, or a multiple of the mix."""
    millions = _tokens_per_hour(instance)
    if instance.scenario.objective == "throughput":
        return _whole_rent(instance) / (usd_per_million * millions) if usd_per_million else math.inf
    return usd_per_million * millions


def _money(instance: Instance, value: float) -> float:
    """The way back."""
    millions = _tokens_per_hour(instance)
    if instance.scenario.objective == "throughput":
        return _whole_rent(instance) / (value * millions) if value > 0 else math.inf
    return _whole_rent(instance) / millions if instance.scenario.owned else value / millions


class _Search:
    """Rounds of one engine: goods that a round uses are priced band by band in the next."""

    def __init__(self, instance: Instance, goods: Stock, target: float) -> None:
        self.instance, self.stock, self.target = instance, goods, target
        self.bands: dict[int, list[Column]] = {}
        self.size = (0, 0)

    def enough(self, bound: float) -> bool:
        """Whether a bound proves what is stated."""
        if self.instance.scenario.objective == "throughput":
            return bound <= self.target * (1 + ROUNDING)
        return self.instance.scenario.owned or bound >= self.target * (1 - ROUNDING)

    def bound(self, left: Callable[[], float]) -> float:
        """The best bound that the time allows."""
        throughput = self.instance.scenario.objective == "throughput"
        best = math.inf if throughput else 0.0
        while left() > 0:
            program, answer = self._solved(sure=False, seconds=left())
            best = min(best, answer.bound) if throughput else max(best, answer.bound)
            coarse = {
                self.stock.goods.index(use.good)
                for use in program.uses
                if use.band is None and answer.values is not None and answer.values[use.variable] > 1e-6
            }
            if self.enough(best) or not coarse:
                break
            self.bands |= {place: self.stock.goods[place].bands() for place in sorted(coarse)}
        return best

    def counterexample(self, seconds: float) -> str:
        """Replicas in priced bands that serve at sure rates for less than is stated; empty if there are none."""
        program, answer = self._solved(sure=True, seconds=max(seconds, 5.0))
        if answer.values is None or self.enough(answer.objective):
            return ""
        used = [
            f"{round(answer.values[use.variable])} {use.good.role} replicas of {use.band.candidate.setup.parallelism}"
            for use in program.uses
            if use.band is not None and answer.values[use.variable] > 0.5
        ]
        return f"{', '.join(used)}: {_money(self.instance, answer.objective):.6g}"

    def _solved(self, sure: bool, seconds: float) -> tuple[Program, Answer]:
        program = Program(self.instance, self.stock, self.bands, sure)
        answer = program.solve(seconds)
        self.size = len(program.rows.rows), len(program.rows.cost)
        return program, answer
