"""A layout that somebody has already chosen, priced: step time, latency, throughput and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import topologies
from solver.cost.calibration import packaged
from solver.cost.network.fleet import Fleet, fleets
from solver.cost.pool.closed_loop import closed_loop, prefill_loop
from solver.cost.pool.mix import Mix
from solver.cost.pool.most import MOST_UTILISATION
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service, sequences_that_fit
from solver.cost.steps.replicas import Replicas
from solver.engines import EngineRules, engine_rules
from solver.engines.memory import MOST_FRACTION
from solver.errors import BadInput
from solver.llm import LLM
from solver.replica import Parallelism, Role, Setup, engine_and_version
from solver.space.legality import Inquiry, most_sequences
from solver.workload import RequestClass
from solver.workload.fields import Rate, Record, Tokens, read_record
from solver.workload.files import MOST_BYTES, parse_document, read_text
from solver.workload.measures import TPOT_P50, TTFT_P50

Degree = Annotated[int, Field(ge=1, le=65536)]
Floats = NDArray[np.float64]


class GivenPool(Record):
    """One pool of a layout.

    Attributes
    ----------
    engine: with a version where the current one is not meant (``vllm@0.32``).
    parallelism: degrees; moe_tp follows from the others where it is left out.
    concurrency: requests in flight on one replica; requests_per_s: arrivals at one replica instead.
    burst: all requests were started at once (closed loops).
    memory_fraction: share of the HBM that the engine may fill, as it counts it; its default if left out.
    """

    llm: str | dict[str, Any]
    device: str | dict[str, Any]
    role: Role = "unified"
    engine: Annotated[str, Field(max_length=60)] = "vllm"
    parallelism: dict[Literal["tp", "pp", "ep", "dp", "moe_tp", "cp"], Degree] = Field(default_factory=dict)
    replicas: Degree = 1
    concurrency: Annotated[float, Field(gt=0, le=1e7)] | None = None
    requests_per_s: Rate | None = None
    prompt_tokens: Tokens = 1000
    output_tokens: Tokens = 1000
    weights: str | dict[str, str] = "checkpoint"
    kv_cache: str = "auto"
    family: Annotated[str, Field(max_length=60)] | None = Field(default=None, alias="as")
    chunk_tokens: Tokens = 8192
    redundant_experts: Annotated[int, Field(ge=0, le=65536)] = 0
    burst: bool = False
    memory_fraction: Annotated[float, Field(ge=0.3, le=0.97)] | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any], source: str) -> GivenPool:
        """Read one pool; raises BadInput naming what is wrong."""
        return read_record(cls, dict(content), source)

    def shape(self, llm: LLM) -> Parallelism:
        """Degrees with moe_tp filled in: the ranks of a stage that do not hold different experts share them."""
        degrees: dict[str, int] = {str(name): degree for name, degree in self.parallelism.items()}
        if llm.experts and "moe_tp" not in degrees:
            stage = degrees.get("tp", 1) * degrees.get("dp", 1)
            degrees["moe_tp"] = max(stage // degrees.get("ep", 1), 1)
        return Parallelism(**degrees)


def given_layout(path: str) -> list[GivenPool]:
    """Read a layout file: ``pools`` is a list, other keys hold for all of them.

    Raises
    ------
    BadInput: naming the pool and the key.
    """
    content = parse_document(read_text(Path(path), MOST_BYTES), path)
    pools = content.pop("pools", None)
    if not isinstance(pools, list) or not pools or not all(isinstance(pool, dict) for pool in pools):
        raise BadInput(f"{path}: pools must be a list of mappings, such as [{{role: unified, parallelism: {{tp: 8}}}}]")
    return [GivenPool.read(content | pool, f"{path}: pools.{number}") for number, pool in enumerate(pools)]


def predict_pools(pools: Sequence[GivenPool]) -> list[dict[str, Any]]:
    """Figures of every pool, ready for JSON: latencies in ms as benchmarks give them, memory in bytes.

    Raises
    ------
    BadInput: an unknown name, or a shape that the engine would not start.
    """
    return [_predict(pool) for pool in pools]


def _predict(pool: GivenPool) -> dict[str, Any]:
    llm = LLM.from_config(pool.llm, weights=pool.weights, kv_cache=pool.kv_cache, family=pool.family)
    shape = pool.shape(llm)
    fleet = _fleet(pool.device, shape)
    domains = math.ceil(shape.ranks_per_stage / max(fleet.domain_sizes)) * shape.pp
    if shape.ranks_per_stage <= max(fleet.domain_sizes):
        domains = math.ceil(shape.pp / (max(fleet.domain_sizes) // shape.ranks_per_stage))
    hosts = domains * max(1, -(-shape.devices // (domains * fleet.host_size)))
    rules = engine_rules(*engine_and_version(pool.engine))
    setup = Setup(
        pool.role, rules.name, shape, domains, hosts, pool.redundant_experts, chunk_tokens=pool.chunk_tokens,
        prompts_per_step=max(pool.chunk_tokens // pool.prompt_tokens, 1) if pool.role == "prefill" else 1,
        engine_version=rules.version, memory_fraction=pool.memory_fraction,
    )  # fmt: skip
    _must_start(setup, rules, llm, fleet)
    calibration, doubt = packaged(rules.name, fleet.device.generation)
    calibration = calibration.in_release(engine_and_version(pool.engine)[1])
    request = RequestClass(
        "given", prompt_tokens=pool.prompt_tokens, output_tokens=pool.output_tokens, requests_per_s=1.0
    )
    most = most_sequences(rules, setup)
    priced = PricedPool.of(
        setup, pool.replicas, llm, fleet, calibration, Mix.of([request]), max_sequences=most
    )
    if priced.limit < 1:
        room = float(priced.replicas.ledger.kv_room.min())
        raise BadInput(
            f"{llm.name} as {shape} does not fit on {fleet.device.name}: {room / 1e9:.4g} GB of HBM are left for the KV cache, "
            f"one request of {pool.prompt_tokens + pool.output_tokens} tokens needs more; {_would_fit(pool, priced, fleet)}"
        )
    figures = _at_load(pool, priced, float(most))
    parts = figures.pop("parts")
    names = ("compute", "memory", "network", "overhead")
    return {
        "layout": f"{pool.replicas} x {shape.devices} {fleet.device.name} ({shape}) on {pool.engine}, {pool.role}",
        **figures,
        "most_sequences_per_rank": priced.limit,
        "kv_tokens_per_rank": _kv_tokens(pool, priced),
        "memory": priced.memory_bytes(min(max(figures["batch_per_rank"], 1.0), priced.limit)),
        "roofline": {f"{name}_s": value for name, value in zip(names, parts, strict=True)}
        | {"bound_by": names[int(np.argmax(parts))]},
        "extrapolated": [*llm.notes, *([doubt] if doubt else []), *_waiting(pool, figures), *_staged(pool, priced)],
    }


def _kv_tokens(pool: GivenPool, priced: PricedPool) -> int:
    """Tokens that the KV cache of a rank holds in requests of this length, as engines log at start-up."""
    length = pool.prompt_tokens + pool.output_tokens
    held = float(priced.replicas.ledger.requests(np.array([float(length)]))[0])
    return math.floor(min(held, 1e12) * length)


def _would_fit(pool: GivenPool, priced: PricedPool, fleet: Fleet) -> str:
    """The nearest thing that works: a larger memory fraction, else more ranks."""
    replicas, setup = priced.replicas, priced.setup
    told = float(replicas.ledger.fraction[0])
    more = Replicas.of(
        replicas.llm, fleet.device, replicas.calibration, [replace(setup, memory_fraction=MOST_FRACTION)]
    )
    holds = float(sequences_that_fit(more, priced.mix)[0])
    if told < MOST_FRACTION and holds >= 1:
        return f"a memory fraction of {MOST_FRACTION} instead of {told:.3g} has room for {math.floor(holds)}"
    return "raise tp, ep or pp"


def _waiting(pool: GivenPool, figures: dict[str, Any]) -> list[str]:
    """A sentence where more requests are in flight than a rank has room for."""
    waiting = figures["waiting_per_rank"]
    if waiting < 1e-6:
        return []
    ranks = pool.parallelism.get("dp", 1)
    held = (pool.concurrency or 0.0) / ranks - waiting
    enough = math.ceil((pool.concurrency or 0.0) / ranks / held)
    waits = "wait for a seat" if pool.role == "decode" else "wait, which is in the TTFT"
    return [
        f"of {(pool.concurrency or 0.0) / ranks:.4g} requests in flight on a rank {held:.4g} fit (KV cache and the engine's "
        f"limit); the others {waits}; {enough} such replicas hold all"
    ]


def _staged(pool: GivenPool, priced: PricedPool) -> list[str]:
    """What a pipeline does to the room for KV caches, against as many devices without stages."""
    stages = priced.setup.parallelism.pp
    if stages == 1:
        return []
    ranks = priced.setup.parallelism.dp
    try:
        plain = _predict(pool.model_copy(update={"parallelism": {**pool.parallelism, "pp": 1}}))
    except BadInput:
        return [f"without its {stages} stages the LLM does not fit"]
    apart = stages * ranks * plain["most_sequences_per_rank"]
    return [
        f"its {stages} stages hold {ranks * priced.limit:.4g} sequences in all; {stages} replicas without stages, on as many "
        f"devices, hold {apart:.4g}"
    ]


def _fleet(given: str | dict[str, Any], shape: Parallelism) -> Fleet:
    """Enough domains of the device for one replica."""
    found = topologies.device(given) if isinstance(given, str) else topologies.Device.parse(given)
    device = given if isinstance(given, str) else found
    nodes = math.ceil(shape.devices / found.scale_up_domain) if found.scale_up_fabric != "torus" else 1
    if found.scale_up_fabric == "torus":
        cluster = topologies.torus(found.scale_up_shape, device=device)
    elif found.scale_up_domain == 72:
        cluster = topologies.nvl72(racks=nodes, device=device)
    else:
        cluster = topologies.hgx(nodes=nodes, device=device, devices_per_host=found.scale_up_domain)
    return fleets(cluster)[0]


def _must_start(setup: Setup, rules: EngineRules, llm: LLM, fleet: Fleet) -> None:
    broken = Inquiry(llm, rules, fleet.device, [setup]).refusals()[0]
    if broken:
        raise BadInput(
            f"{rules.title} would not start {llm.name} as {setup.parallelism} ({setup.role}): "
            f"{'; '.join(rule.because for rule in broken)}"
        )


def _at_load(pool: GivenPool, priced: PricedPool, most: float) -> dict[str, Any]:
    """Latencies and throughput at the given concurrency, or at the given rate.

    Parameters
    ----------
    most: requests that the engine runs on a rank at most.
    """
    if pool.concurrency is not None and pool.requests_per_s is not None:
        raise BadInput("give a concurrency or requests_per_s, not both")
    if pool.requests_per_s is not None:
        return _open_loop(pool, priced)
    concurrency = np.array([pool.concurrency or 1.0])
    prompt, output = np.array([float(pool.prompt_tokens)]), np.array([float(pool.output_tokens)])
    room = np.minimum(priced.replicas.requests_held(prompt, output if pool.role != "prefill" else 0.0), most)
    if pool.role == "prefill":
        return _prefill_loop(pool, priced, room)
    if pool.role == "decode":
        per_rank = float(concurrency[0]) / priced.setup.parallelism.dp
        figures = _figures(pool, priced, priced.at_batch(min(per_rank, float(room[0]))))
        return figures | {"waiting_per_rank": max(per_rank - float(room[0]), 0.0)}
    found = closed_loop(priced.replicas, concurrency, prompt, output, float(pool.burst), most=room)
    rate = float(found.output_tokens_per_s(concurrency, output)[0])
    return {
        "tpot_ms": float(found.tpot_s[0]) * 1e3,
        "ttft_ms": float(found.ttft_s[0]) * 1e3,
        "ttft_p50_ms": float(found.ttft_p50_s[0]) * 1e3,
        "output_tokens_per_s_per_device": rate / priced.setup.parallelism.devices,
        "step_ms": float(found.step_s[0]) * 1e3,
        "batch_per_rank": float(found.batch[0]),
        "waiting_per_rank": float(found.waiting[0]),
        "parts": priced.parts_s(priced.at_batch(float(found.batch[0]))),
    }


def _prefill_loop(pool: GivenPool, priced: PricedPool, room: Floats) -> dict[str, Any]:
    """A prefill replica that always has so many prompts in flight."""
    concurrency, prompt = np.array([pool.concurrency or 1.0]), np.array([float(pool.prompt_tokens)])
    found = prefill_loop(priced.replicas, concurrency, prompt, most=room)
    busy = float(found.busy[0])
    return {
        "tpot_ms": 0.0,
        "ttft_ms": float(found.ttft_s[0]) * 1e3,
        "output_tokens_per_s_per_device": 0.0,
        "prompt_tokens_per_s_per_device": float(found.prompts_per_s[0])
        * pool.prompt_tokens
        / priced.setup.parallelism.devices,
        "step_ms": float(found.step_s[0]) * 1e3,
        "batch_per_rank": float(found.batch[0]),
        "waiting_per_rank": float(found.waiting[0]),
        "parts": priced.parts_s(priced.at_batch(min(busy, MOST_UTILISATION))),
    }


def _open_loop(pool: GivenPool, priced: PricedPool) -> dict[str, Any]:
    """A pool at a rate of arrivals."""
    asked = pool.requests_per_s or 0.0
    service = priced.at(asked)
    served = float(service.requests_per_s[0])
    if served < asked * (1 - 1e-3):
        raise BadInput(f"a replica serves at most {served:.4g} requests/s of this kind; {asked:.4g} were asked for")
    return _figures(pool, priced, service) | {"waiting_per_rank": 0.0}


def _figures(pool: GivenPool, priced: PricedPool, service: Service) -> dict[str, Any]:
    shape = priced.setup.parallelism
    tokens = 0.0 if pool.role == "prefill" else float(service.requests_per_s[0]) * pool.output_tokens
    return {
        "tpot_ms": float(service.latency(TPOT_P50)[0, 0]) * 1e3,
        "ttft_ms": float(service.latency(TTFT_P50)[0, 0]) * 1e3,
        "output_tokens_per_s_per_device": tokens / shape.devices,
        "prompt_tokens_per_s_per_device": float(service.requests_per_s[0]) * pool.prompt_tokens / shape.devices,
        "step_ms": float(service.step_s[0]) * 1e3,
        "batch_per_rank": float(service.batch[0]),
        "parts": priced.parts_s(service),
    }
