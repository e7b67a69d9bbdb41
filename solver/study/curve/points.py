"""A point of a curve: what a million output tokens cost there, between the floor and the bound, beside the closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from solver.check.evidence import Evidence
from solver.check.floor import cost_floor
from solver.cost.instance import Instance
from solver.cost.pool.mix import Mix
from solver.cost.pool.waterfall import CAUSES
from solver.economics.envelope import MeanRequest, Rented, least_usd
from solver.economics.roofline import Serving, prefill_s
from solver.plan import KVTier, Plan
from topologies.units import show_seconds

#: Causes that the lecture's two straight lines have; what they say of them differs from the engine's by ``blocks``.
LECTURE = CAUSES[:3]


@dataclass(frozen=True)
class CostPoint:
    """One point.

    Attributes
    ----------
    at: the quantity that varies.
    usd: USD per million output tokens; None where there is no layout, ``because`` says why.
    bound: what no layout undercuts there; None where the layout is held.
    floor: the same if only rooflines counted, at any batch; None where even they miss the promise.
    lecture: the closed form at this layout and batch, ``max(B Tc, Tw + B Tk)``.
    causes: the cost by cause; adds up to ``usd``.
    layout: what decodes, in words. figures: what else is known of the point, by name.
    """

    at: float
    usd: float | None = None
    bound: float | None = None
    floor: float | None = None
    lecture: float | None = None
    causes: Mapping[str, float] = field(default_factory=dict)
    layout: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    because: str = ""
    plan: Plan | None = field(default=None, repr=False, compare=False)

    @property
    def gap(self) -> float | None:
        """How far above the bound at most."""
        return None if self.usd is None or self.bound is None else max(0.0, 1 - self.bound / self.usd)

    @property
    def difference(self) -> dict[str, float]:
        """What the closed form leaves out, by name; adds up to ``usd - lecture``.

        ``blocks`` is that blocks of a step follow one another instead of two lines meeting once, and that experts nobody
        selects are not read.
        """
        if self.usd is None or self.lecture is None:
            return {}
        blocks = math.fsum(self.causes[cause] for cause in LECTURE) - self.lecture
        return {"blocks": blocks, **{name: usd for name, usd in self.causes.items() if name not in LECTURE}}

    def plain(self) -> dict[str, Any]:
        """The point as data that JSON can hold."""
        return {
            "at": self.at,
            "usd_per_million_output_tokens": self.usd,
            "bound": self.bound,
            "gap": self.gap,
            "floor": self.floor,
            "lecture": self.lecture,
            "causes": dict(self.causes),
            "difference": self.difference,
            "layout": self.layout,
            **self.figures,
            "because": self.because,
        }


def _waits(tier: KVTier) -> str:
    """Where the idle KV of a class waits."""
    places = ", ".join(f"{size / 1e9:,.0f} GB in {place}" for place, size in tier.bytes.items() if size)
    return f"; idle KV of {tier.request_class}: {places}, {tier.hit_rate:.0%} find theirs" if places else ""


def point_of(plan: Plan, at: float, instance: Instance | None = None) -> CostPoint:
    """The point of a solved plan."""
    instance = instance or Instance.of(plan.scenario)
    objective, prediction = plan.objective, plan.prediction
    decoding = [pool for pool in plan.pools if pool.role != "prefill"]
    return CostPoint(
        at=at,
        usd=objective.usd_per_million_output_tokens,
        bound=objective.bound,
        floor=roofline(instance),
        lecture=lecture_usd(plan, instance),
        causes=cost_floor(plan, instance).parts,
        layout=", ".join(
            f"{pool.replicas} x ({pool.parallelism.shape()}) {pool.device} "
            f"batch {pool.batch_per_rank * pool.parallelism.dp:,.0f} step {show_seconds(pool.step_s)}"
            for pool in decoding
        )
        + "".join(_waits(tier) for tier in plan.kv_tiers),
        figures={
            "usd_per_million_tokens": objective.usd_per_million_tokens,
            "usd_per_hour": objective.usd_per_hour,
            "devices": plan.devices,
            "confidence": prediction.confidence,
            "output_tokens_per_s": prediction.output_tokens_per_s,
            "tpot_p95_s": prediction.tpot_p95_s,
            "ttft_p95_s": prediction.ttft_p95_s,
            "batch": max(pool.batch_per_rank * pool.parallelism.dp for pool in decoding),
            "widest_group": max(pool.parallelism.shape().ranks_per_stage for pool in plan.pools),
            "hit_rate": max((tier.hit_rate for tier in plan.kv_tiers), default=0.0),
        },
        plan=plan,
    )


def lecture_usd(plan: Plan, instance: Instance) -> float:
    """USD per million output tokens by the lecture's closed form, at a plan's layout, batch and rent.

    Prompts cost their matrix products at the peak, decoding the longer of the lecture's two lines, and nothing idles.
    """
    usd_per_hour, evidence = 0.0, Evidence(plan, instance)
    for pool in plan.pools:
        mix, requests = evidence.group(pool).mix, pool.requests_per_s_per_replica
        shape, device = pool.parallelism.shape(), instance.fleet(pool.device).device
        serving = lecture_serving(instance, pool.device, shape.devices, mix.context)
        seconds = 0.0
        if pool.role != "decode":
            prompt = float(mix.mean(mix.prompt))
            seconds += prefill_s(serving.active_parameters, prompt, shape.devices, serving.flops)
        if pool.role != "prefill":
            batch = max(pool.batch_per_rank * shape.dp, 1.0)
            accepted = instance.accepted(pool.draft_tokens, pool.role)
            seconds += mix.mean_output * serving.step_s(batch) / (batch * accepted)
        usd_per_hour += requests * pool.replicas * seconds * shape.devices * instance.usd_per_hour(device.name)
    return usd_per_hour / (3600 * plan.prediction.output_tokens_per_s) * 1e6


def lecture_serving(instance: Instance, device: str, devices: int, context: float) -> Serving:
    """The lecture's lines of a replica: without the FLOP of attention, which it does not know."""
    known = Serving.of(instance.llm, instance.fleet(device).device, devices, context)
    return replace(known, attention_flop=0.0)


def roofline(instance: Instance) -> float | None:
    """USD per million output tokens on the envelope of rooflines at the promised TPOT; None where even they are slower."""
    limits = [limit for group in instance.groups for limit in group.promise.about("tpot").values()]
    slowest = min((float(np.min(limit)) for limit in limits), default=math.inf)
    classes = [c for group in instance.groups for c in group.classes]
    mix = Mix.of(classes)
    drafts = instance.scenario.speculation
    accepted = max((instance.accepted(number) for number in drafts.choices), default=1.0) if drafts else 1.0
    demand = MeanRequest(float(mix.mean(mix.prompt)), float(mix.context), mix.mean_output, float(accepted))
    rented = [Rented(f.device, f.devices, instance.usd_per_hour(f.device.name)) for f in instance.fleets]
    return least_usd(instance.llm, demand, rented, 1 / slowest if math.isfinite(slowest) else 1e-9)
