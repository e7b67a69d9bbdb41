"""What to measure before a plan is trusted: one replica of each of its shapes under a load test, with what to expect.

A run is one replica by itself in a closed loop, which every load tester can drive and which says what its steps take; the
hand-over between pools and the queues before them are not in it. Where the plan names rivals (``solve --alternatives``), runs
of their replicas count too, and come in the order of what they are worth to the choice between the plans: the fall of
expected regret per device-hour (:mod:`solver.study.rivals`). Where it names none there is no choice, and runs come by the
share of the cost that the shape takes, over the measured runs behind the mechanism that has fewest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.check.evidence import Evidence
from solver.cost.cases import OUTPUTS
from solver.cost.instance import Instance
from solver.cost.pool.closed_loop import closed_loop, prefill_loop
from solver.cost.support import Support
from solver.cost.surprises import bare
from solver.plan import Plan, Pool
from solver.study.rivals import Decision, rivals
from solver.workload import RequestClass

Floats = NDArray[np.float64]

#: Requests of a run: so many rounds of what is in flight, but no fewer than this.
ROUNDS, LEAST_REQUESTS = 5, 64
#: Mechanisms that a replica by itself does not have.
NOT_ALONE = ("hand-over between pools", "KV that waits between turns")


@dataclass(frozen=True)
class Expected:
    """A figure and the range in which it lies in 80 % of the draws of what predictions may be off by."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, off: Floats) -> Expected:
        """With the logarithms of measured over predicted in every world (DRAWS,)."""
        low, high = (value * np.exp(np.quantile(off, (0.1, 0.9)))).tolist()
        return cls(value, low, high)


@dataclass(frozen=True)
class LoadTest:
    """One run: a replica of a pool by itself, with so many requests in flight.

    Attributes
    ----------
    pool: whose replica it is. layout: in words. devices: of the replica.
    concurrency: requests in flight; requests: in all. prompt_tokens, output_tokens: of each, all alike.
    replica: what a run of it is known by (:class:`solver.study.fidelity.runs.MeasuredRun`); empty for an LLM of one's own.
    expected: figures by name: ``ttft_p50_ms`` (``ttft_ms``, a mean, where prompts alone are served), ``tpot_ms``,
        ``requests_per_s``, ``output_tokens_per_s``.
    share: of the cost that pools of this shape take. runs: measured ones behind the mechanism that has fewest, under the
        plan's engine. because: that mechanism, in words.
    """

    pool: str
    layout: str
    devices: int
    concurrency: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    replica: dict[str, Any]
    expected: dict[str, Expected]
    share: float
    runs: int
    because: str
    plan: int = 0
    fall: float | None = None

    @property
    def worth(self) -> float:
        """By which runs are ordered: the fall of regret per device-hour; where there is no choice the share of the cost over
        measured runs, of which one is counted more than there are."""
        return self.share / (1 + self.runs) if self.fall is None else self.fall / self.device_hours

    @property
    def seconds(self) -> float:
        """How long it takes once the engine is up [s]."""
        return self.requests / self.expected["requests_per_s"].value

    @property
    def device_hours(self) -> float:
        """What it costs in time of devices, without their start [h]."""
        return self.devices * self.seconds / 3600

    def plain(self) -> dict[str, Any]:
        """The run as data that JSON can hold."""
        return asdict(self) | {"worth": self.worth, "seconds": self.seconds, "device_hours": self.device_hours}


def load_tests(plan: Plan, instance: Instance | None = None) -> list[LoadTest]:
    """A run for every shape of a plan's pools and its rivals', that which is worth most first.

    Raises
    ------
    BadInput: a scenario that cannot be used.
    """
    known = rivals(plan, instance or Instance.of(plan.scenario))
    decision = Decision.of(known) if len(known) > 1 else None
    found: dict[tuple[object, ...], LoadTest] = {}
    for number, evidence in enumerate(known):
        rents = {p.name: evidence.instance.usd_per_hour(p.device) * p.devices for p in evidence.plan.pools}
        whole = math.fsum(rents.values())
        alike: dict[tuple[object, ...], list[Pool]] = {}
        for pool in evidence.plan.pools:
            # The same shape in a rival, wherever its replicas would lie, is the same run.
            alike.setdefault((pool.role, pool.device, bare(pool.setup())), []).append(pool)
        for key, pools in alike.items():
            if key not in found:
                share = math.fsum(rents[pool.name] for pool in pools) / whole if number == 0 else 0.0
                test = _of(evidence, pools[0], share)
                fall = decision.fall(pools[0].device, pools[0].setup()) if decision else None
                found[key] = replace(test, plan=number, fall=fall)
    return sorted(found.values(), key=lambda test: (-test.worth, test.plan, test.pool))


def lone(plan: Plan, name: str) -> Plan:
    """The plan of one replica of a pool by itself, which serves whole requests: for export, not for the witness."""
    pool = plan.pool(name).model_copy(update={"role": "unified", "replicas": 1, "connector": None})
    return plan.model_copy(
        update={
            "pools": (pool,),
            "placement": tuple(p for p in plan.placement if (p.pool, p.replica) == (name, 0)),
            "experts": tuple(one for one in plan.experts if one.pool == name),
            "kv_tiers": (),
            "routing": {served: {"unified": {name: 1.0}} for served in plan.routing},
        }
    )


def _of(evidence: Evidence, pool: Pool, share: float) -> LoadTest:
    classes = evidence.group(pool).classes
    prompt = max(round(_mean(classes, "prompt_tokens")), 1)
    output = 1 if pool.role == "prefill" else max(round(_mean(classes, "output_tokens")), 2)
    shape = pool.parallelism.shape()
    seats = shape.pp * pool.prompts_per_step if pool.role == "prefill" else pool.batch_per_rank
    concurrency = max(round(seats * shape.dp), 1)
    alone = (each for each in pool.rests_on if each.mechanism not in NOT_ALONE)
    weakest = min(alone, key=lambda each: (each.engine_runs, each.runs))
    return LoadTest(
        pool=pool.name,
        layout=f"1 x {shape.devices} {pool.device} ({shape}) on {pool.engine} {pool.engine_version}",
        devices=shape.devices,
        concurrency=concurrency,
        requests=max(ROUNDS * concurrency, LEAST_REQUESTS),
        prompt_tokens=prompt,
        output_tokens=output,
        replica=_replica(evidence, pool),
        expected=dict(_expected(evidence, pool, concurrency, prompt, output)),
        share=share,
        runs=weakest.engine_runs,
        because=str(Support(weakest.mechanism, weakest.runs, weakest.engine_runs)),
    )


def _replica(evidence: Evidence, pool: Pool) -> dict[str, Any]:
    """Names and degrees by which a run of a replica is known."""
    spec, shape = evidence.plan.scenario.llm, pool.parallelism.shape()
    if not isinstance(spec.config, str):
        return {}
    known = {name: getattr(shape, name) for name in ("tp", "pp", "dp", "ep", "moe_tp") if getattr(shape, name) > 1}
    return {
        "llm": spec.config,
        "device": pool.device,
        "engine": pool.engine,
        "engine_version": pool.engine_version,
        "precision": spec.weights if isinstance(spec.weights, str) else "checkpoint",
        "kv_cache": evidence.instance.llm.precision.kv_cache.name,
        **known,
        "chunk_tokens": pool.chunk_tokens,
        "max_running": pool.limits.max_sequences,
        "memory_fraction": pool.limits.memory_fraction,
        "draft_tokens": pool.draft_tokens,
    }


def _mean(classes: tuple[RequestClass, ...], what: str) -> float:
    """Mean over the requests that arrive."""
    arriving = math.fsum(c.requests_per_s for c in classes)
    return math.fsum(getattr(c, what) * c.requests_per_s for c in classes) / arriving


def _expected(
    evidence: Evidence, pool: Pool, concurrency: int, prompt: int, output: int
) -> Iterator[tuple[str, Expected]]:
    """Figures of the replica in the closed loop, as the plan's own calibration has them."""
    replicas, instance = evidence.priced[pool.name].replicas, evidence.instance
    alone = replace(pool.setup(), role="prefill" if pool.role == "prefill" else "unified")
    longer, little, first = instance.surprises(pool.device, [alone], OUTPUTS)[:, 0]
    load, prompts, outputs = (np.array([float(value)]) for value in (concurrency, prompt, output))
    room = np.minimum(replicas.requests_held(prompts, outputs), float(pool.limits.max_sequences))
    if pool.role == "prefill":
        found = prefill_loop(replicas, load, prompts, most=room)
        yield "ttft_ms", Expected.of(float(found.ttft_s[0]) * 1e3, longer + first)
        yield "requests_per_s", Expected.of(float(found.prompts_per_s[0]), -longer)
        return
    loop = closed_loop(replicas, load, prompts, outputs, most=room)
    rate = float(loop.output_tokens_per_s(load, outputs)[0])
    yield "ttft_p50_ms", Expected.of(float(loop.ttft_p50_s[0]) * 1e3, longer + first)
    yield "tpot_ms", Expected.of(float(loop.tpot_s[0]) * 1e3, longer)
    yield "requests_per_s", Expected.of(rate / output, little - longer)
    yield "output_tokens_per_s", Expected.of(rate, little - longer)
