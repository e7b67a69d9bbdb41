"""From counts and names to a plan: load shares, operating points, limits, predictions and links."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import chain
from typing import Literal, TypeVar

from solver.cost.calibration import Calibration
from solver.cost.instance import Instance, PromiseGroup
from solver.cost.network.contention import Exchange, exchanges, slowed
from solver.cost.pool.draws import DrawnGroup, DrawnPool, Worlds, worlds
from solver.cost.pool.flows import Running, Sending, idle_kv_flows, kept_flow, kv_flow, link_loads, pool_flows
from solver.cost.pool.margin import work_shares
from solver.cost.pool.most import prompts_held
from solver.cost.pool.prediction import Latencies, Part, class_latencies, overall
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.retention import by_class
from solver.cost.pool.serving import Service, sequences_that_fit
from solver.cost.support import Support, mean_prompt, support
from solver.engines import EngineRules
from solver.experts.recorded import MORE_SLOTS, balance_of
from solver.optimize.layout.kv_tiers import Keeping, Place, Split
from solver.optimize.layout.kv_tiers.record import records, slowest_load_s
from solver.optimize.layout.mapping import Mapping
from solver.optimize.layout.market import Offer, promises
from solver.optimize.layout.search import Chosen, Layout
from solver.plan.schema import (
    SCHEMA_VERSION,
    KVTier,
    Latency,
    LayerMap,
    Limits,
    LinkLoad,
    Margin,
    MechanismRuns,
    Memory,
    Objective,
    Placed,
    Plan,
    Pool,
    PoolDegrees,
    Prediction,
    Provenance,
    Roofline,
    Stage,
)
from solver.replica import ROLES, Role
from solver.space.certainty import safe_stretch
from solver.space.legality import most_sequences
from solver.space.profiles import Column
from solver.workload.kv_tiers import HBM
from topologies import Routes

#: Sequences that an engine may run over those that capacity exceeds 1 % of the time: a queue there delays first tokens.
HEADROOM = 1.25
#: Share by which a bound and a cost may differ that are equal but for the order of their sums.
EQUAL = 1e-9

LatencyOf = TypeVar("LatencyOf", bound=Latency)


@dataclass(frozen=True)
class Staffed:
    """A pool of the plan being made: what was chosen, how it is priced, where it sits.

    Attributes
    ----------
    exchange: what the fabric leaves to its expert exchange; None where that stays inside domains.
    connector: how it hands KV caches over; None where it is unified.
    keeps: how it keeps idle KV, with the split of each class; None where it keeps none.
    places: the tiers outside of HBM.
    """

    name: str
    chosen: Chosen
    group: PromiseGroup
    priced: PricedPool
    calibration: Calibration
    devices: tuple[tuple[str, ...], ...]
    most: Service
    exchange: Exchange | None
    connector: str | None
    keeps: tuple[Keeping, tuple[Split, ...]] | None = None
    places: tuple[Place, ...] = ()

    @property
    def role(self) -> Role:
        """Role of the pool."""
        return self.chosen.column.role

    @property
    def device(self) -> str:
        """Kind of device."""
        return self.chosen.column.footprint.device

    @property
    def capacity(self) -> float:
        """Requests/s of the whole pool within its promise."""
        return float(self.most.requests_per_s[0]) * self.chosen.replicas


def assemble(
    instance: Instance, offer: Offer, routes: Routes, layout: Layout, pools: Sequence[Staffed], seed: int | None
) -> Plan:
    """Write the plan of a layout whose pools have devices, as :func:`staff` gives them."""
    served = _served(instance, layout, pools)
    shares = _shares(pools)
    planned = {p.name: served[p.group.index] * shares[p.name] / p.chosen.replicas for p in pools}
    points = {p.name: p.priced.at(planned[p.name]) for p in pools}
    running = {p.name: Running(p.priced, points[p.name], p.devices) for p in pools}
    tiers = tuple(chain.from_iterable(_kv_tiers(instance, p, planned[p.name]) for p in pools))
    usd = hourly_usd(instance, [device for p in pools for replica in p.devices for device in replica])
    usd += math.fsum(price for tier in tiers for price in tier.usd_per_hour.values())
    rests_on = {p.name: _support(instance, p, points[p.name], tiers) for p in pools}
    unmeasured = [f"pool {name}: {each}" for name, found in rests_on.items() for each in found if not each.runs]
    doubts = offer.doubts(sorted({p.device for p in pools}))
    drawn = worlds(_drawn(instance, pools, planned, shares, served))
    prediction = _prediction(instance, pools, points, shares, served, [*doubts, *unmeasured], drawn)
    objective = _objective(instance, layout, usd, served, drawn)
    flows = [*_flows(instance, pools, running, shares), *_idle(instance, pools, tiers, served)]
    return Plan(
        schema_version=SCHEMA_VERSION,
        scenario=instance.scenario,
        status=status_of(objective, instance.scenario.options.gap),
        objective=objective,
        pools=tuple(
            _pool(instance, offer.rules, p, planned[p.name], points[p.name], rests_on[p.name]) for p in pools
        ),
        placement=tuple(_placed(pools)),
        experts=tuple(_experts(instance, pools)),
        kv_tiers=tiers,
        links=tuple(_links(instance, routes, flows)),
        prediction=prediction,
        routing=_routing(pools, shares),
        margins=tuple(_margins(instance, pools, points, prediction, usd, tiers)),
        alternatives=(),
        binding=(),
        provenance=_provenance(instance, offer, pools, seed),
    )


def busiest_link(
    instance: Instance, offer: Offer, routes: Routes, layout: Layout, mapping: Mapping
) -> tuple[float, float]:
    """Utilisation of the busiest scale-out link, and the load of all of them [B/s]: how a placement strains the fabric."""
    pools = staff(instance, offer, routes, layout, mapping)
    served, shares = _served(instance, layout, pools), _shares(pools)
    running = {
        p.name: Running(p.priced, p.priced.at(served[p.group.index] * shares[p.name] / p.chosen.replicas), p.devices)
        for p in pools
    }
    loads = link_loads(routes, _flows(instance, pools, running, shares))
    outside = {link: rate for link, rate in loads.items() if instance.cluster.edges[link]["fabric"] == "scale_out"}
    return max(routes.utilisation(outside).values(), default=0.0), math.fsum(outside.values())


def staff(instance: Instance, offer: Offer, routes: Routes, layout: Layout, mapping: Mapping) -> list[Staffed]:
    """Pools in the order of promise and role, each with a name of its own, at the rate that the fabric leaves them."""
    numbered = sorted(zip(layout.pools, mapping.devices, strict=True), key=lambda pair: _place(pair[0].column))
    counts: dict[Role, int] = defaultdict(int)
    found = []
    rates = exchanges(routes, [_stages_of(chosen, devices) for chosen, devices in numbered])
    for (chosen, devices), exchange in zip(numbered, rates, strict=True):
        column = chosen.column
        counts[column.role] += 1
        name = column.role if counts[column.role] == 1 else f"{column.role}-{counts[column.role]}"
        group = instance.groups[column.group]
        calibration, _ = instance.calibration(offer.engine, column.footprint.device)
        keeps = None if column.keeping is None else layout.keeps[column.keeping]
        priced = PricedPool.of(
            column.candidate.setup,
            chosen.replicas,
            instance.llm,
            slowed(instance.fleet(column.footprint.device), exchange),
            calibration,
            group.mix if keeps is None else keeps[0].mix,
            max_sequences=min(float(most_sequences(offer.rules, column.candidate.setup)), column.limit),
            imbalance=column.candidate.imbalance,
            accepted=column.candidate.accepted,
        )
        promise = dict(promises(group, column.role))[column.split]
        fullest = priced.most(promise, safe_stretch(instance, column.footprint.device, [column.candidate.setup]))
        connector = _connector(offer, layout, column)
        found.append(
            Staffed(
                name, chosen, group, priced, calibration, devices, fullest, exchange, connector, keeps, layout.places
            )
        )
    return found


def _connector(offer: Offer, layout: Layout, column: Column) -> str | None:
    """What hands KV caches over; None for a pool that runs both phases."""
    if column.role == "unified":
        return None
    connection = layout.connections[column.group] if layout.connections else None
    return connection.connector if connection else offer.rules.connectors[0].name


def _place(column: Column) -> tuple[object, ...]:
    """Where a pool stands in a plan: by promise, role and setup."""
    setup = column.candidate.setup
    shape = setup.parallelism, column.footprint, setup.redundant_experts
    return column.group, ROLES.index(column.role), shape, column.low


def _stages_of(chosen: Chosen, devices: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Ranks that exchange among each other, of every replica."""
    size = chosen.column.candidate.setup.parallelism.ranks_per_stage
    return [replica[start : start + size] for replica in devices for start in range(0, len(replica), size)]


def _served(instance: Instance, layout: Layout, pools: Sequence[Staffed]) -> dict[int, float]:
    """Requests/s of each promise: what was asked for, or the multiple of the mix that every role can serve.

    Where idle KV is kept or failures are survived, no more than what the program found room for.
    """
    if instance.scenario.objective == "cost":
        return {group.index: group.requests_per_s for group in instance.groups}
    capacity: dict[tuple[int, Role], float] = defaultdict(float)
    for pool in pools:
        capacity[pool.group.index, pool.role] += pool.capacity
    multiple = min(c / instance.groups[group].requests_per_s for (group, _), c in capacity.items())
    options = instance.scenario.options
    if layout.keeps or options.survive_domain_failures or options.survive_host_failures:
        multiple = min(multiple, layout.value)
    return {group.index: multiple * group.requests_per_s for group in instance.groups}


def _shares(pools: Sequence[Staffed]) -> dict[str, float]:
    """Share of its promise's requests that each pool serves in its role: in proportion to capacity."""
    whole: dict[tuple[int, Role], float] = defaultdict(float)
    for pool in pools:
        whole[pool.group.index, pool.role] += pool.capacity
    return {pool.name: pool.capacity / whole[pool.group.index, pool.role] for pool in pools}


def hourly_usd(instance: Instance, used: Sequence[str]) -> float:
    """Rent of the billing units that these devices belong to [USD/h]; of the whole cluster where that is owned."""
    scenario, nodes = instance.scenario, instance.cluster.nodes
    everything = [v for v, data in nodes(data=True) if data["kind"] == "device"]
    if scenario.owned or scenario.objective == "throughput":
        paid = everything
    elif scenario.billing == "device":
        paid = list(used)
    else:
        unit = {"host": lambda v: nodes[v]["host"], "domain": instance.domain_of}[scenario.billing]
        rented = {unit(device) for device in used}
        paid = [device for device in everything if unit(device) in rented]
    return math.fsum(instance.usd_per_hour(nodes[device]["device"]) for device in paid)


def _objective(
    instance: Instance, layout: Layout, usd: float, served: dict[int, float], drawn: Worlds
) -> Objective:
    output = math.fsum(
        served[g.index] * float(share) * tokens
        for g in instance.groups
        for share, tokens in zip(g.mix.share, g.mix.output, strict=True)
    )
    prompt = math.fsum(
        served[g.index] * float(share) * c.prompt_tokens
        for g in instance.groups
        for share, c in zip(g.mix.share, g.classes, strict=True)
    )
    per_million = usd / (output * 3600) * 1e6
    if instance.scenario.objective == "cost":
        best = 1.0 if instance.scenario.owned or usd == 0 else min(layout.bound / usd, 1.0)
    else:
        multiple = served[0] / instance.groups[0].requests_per_s
        best = min(multiple / layout.bound, 1.0)
    return Objective(
        usd_per_million_output_tokens=per_million,
        usd_per_million_tokens=usd / ((output + prompt) * 3600) * 1e6,
        usd_per_hour=usd,
        bound=per_million * best,
        gap=1.0 - best,
        least=per_million,
        simplicity_cost=0.0,
        interval_80=drawn.cost_80(per_million),
    )


def status_of(objective: Objective, gap: float) -> Literal["optimal", "feasible"]:
    """Whether the least cost that was found is as near to the bound as was asked for."""
    return "optimal" if objective.least_gap <= gap else "feasible"


def with_draws(plan: Plan, drawn: Worlds) -> Plan:
    """The plan with the ranges and the confidence that its draws give it, where its promises were others before."""

    def ranged(latency: LatencyOf, request_class: str | None = None) -> LatencyOf:
        ranges = {name: drawn.interval_80(name, getattr(latency, name), request_class) for name in latency.interval_80}
        return latency.model_copy(update={"interval_80": ranges})

    classes = {name: ranged(latency, name) for name, latency in plan.prediction.classes.items()}
    prediction = ranged(plan.prediction).model_copy(update={"classes": classes, "confidence": drawn.confidence})
    cost = drawn.cost_80(plan.objective.usd_per_million_output_tokens)
    return plan.model_copy(
        update={"prediction": prediction, "objective": plan.objective.model_copy(update={"interval_80": cost})}
    )


def with_bound(plan: Plan, bound: float, least: float | None = None) -> Plan:
    """The plan with another bound on its USD per million output tokens, never above the least that was found.

    Parameters
    ----------
    least: what the cheapest accepted plan costs; None = as the plan says.
    """
    o = plan.objective
    cost, least = o.usd_per_million_output_tokens, o.least if least is None else least
    bound = bound if bound < least * (1 - EQUAL) else least
    objective = o.model_copy(
        update={
            "bound": bound,
            "gap": 1 - bound / cost if cost else 0.0,
            "least": least,
            "simplicity_cost": max(cost / least - 1, 0.0) if least else 0.0,
        }
    )
    status = status_of(objective, plan.scenario.options.gap)
    return plan.model_copy(update={"objective": objective, "status": status})


def _pool(
    instance: Instance, rules: EngineRules, pool: Staffed, rate: float, point: Service, rests_on: Sequence[Support]
) -> Pool:
    """The record of a pool whose replicas serve ``rate`` requests/s each."""
    setup, column = pool.priced.setup, pool.chosen.column
    mix = pool.priced.mix
    tokens = float(mix.mean(mix.prompt)) if setup.role == "prefill" else mix.mean_output
    parts = pool.priced.parts_s(point)
    sequences = _sequences(pool)
    largest = max(range(4), key=lambda i: parts[i])
    return Pool(
        name=pool.name,
        role=setup.role,
        engine=setup.engine,
        engine_version=rules.version,
        connector=pool.connector,
        device=column.footprint.device,
        serves=tuple(c.name for c in pool.group.classes),
        parallelism=PoolDegrees.of(setup.parallelism),
        replicas=pool.priced.count,
        domains_per_replica=setup.domains,
        hosts_per_replica=setup.hosts,
        batch_per_rank=float(point.batch[0]),
        prompts_per_step=setup.prompts_per_step,
        chunk_tokens=setup.chunk_tokens,
        draft_tokens=setup.draft_tokens,
        redundant_experts=setup.redundant_experts,
        imbalance=float(pool.priced.replicas.group.imbalance[0]),
        overlap=setup.overlap,
        limits=_limits(instance, rules, pool, sequences),
        utilisation=min(float(point.utilisation[0]), 1.0),
        step_s=float(point.step_s[0]),
        requests_per_s_per_replica=rate,
        tokens_per_s_per_replica=rate * tokens,
        capacity_requests_per_s_per_replica=float(pool.most.requests_per_s[0]),
        memory=Memory(**pool.priced.memory_bytes(sequences, rate)),
        stages=tuple(
            Stage(layers=(first, last), device=column.footprint.device, tp=setup.parallelism.tp)
            for first, last in setup.stages
        ),
        roofline=Roofline(
            compute_s=parts[0],
            memory_s=parts[1],
            network_s=parts[2],
            overhead_s=parts[3],
            bound_by=("compute", "memory", "network", "overhead")[largest],
        ),
        rests_on=tuple(
            MechanismRuns(mechanism=s.mechanism, runs=s.runs, engine_runs=s.engine_runs) for s in rests_on
        ),
    )


def _support(instance: Instance, pool: Staffed, point: Service, tiers: Sequence[KVTier]) -> tuple[Support, ...]:
    """The runs behind a pool's price."""
    device = instance.devices[pool.chosen.column.footprint.device]
    batch, prompt = float(point.batch[0]), mean_prompt(pool.group.classes)
    idle = any(name != HBM.name for tier in tiers if tier.pool == pool.name for name in tier.bytes)
    return support(pool.priced.setup, instance.llm, device, batch, prompt, idle)


def _sequences(pool: Staffed) -> int:
    """Running sequences that a rank must be allowed: more than the batch that capacity exceeds 1 % of the time.

    A prefill rank holds what :func:`prompts_held` says.
    """
    if pool.role == "prefill":
        setup = pool.priced.setup
        return int(prompts_held(setup.parallelism.pp, setup.prompts_per_step))
    priced, most = pool.priced, pool.most
    # Idle KV takes of the room in HBM, not of what the engine or the user allows.
    idle = priced.mix.idle_sequences(most.requests_per_s, priced.replicas.work.dp)
    left = float(sequences_that_fit(priced.replicas, priced.mix)[0] - idle[0])
    return max(1, min(math.ceil(HEADROOM * float(most.full_batch[0])), math.floor(priced.limit), math.floor(left)))


def _limits(instance: Instance, rules: EngineRules, pool: Staffed, sequences: int) -> Limits:
    setup = pool.priced.setup
    return Limits(
        max_sequences=sequences,
        max_batched_tokens=max(setup.chunk_tokens, sequences)
        if setup.role != "decode"
        else max(sequences * (1 + setup.draft_tokens), 1),
        memory_fraction=float(pool.priced.replicas.ledger.fraction[0]),
        captured_batch_sizes=_captured(rules, sequences),
        max_length=instance.longest,
    )


def _captured(rules: EngineRules, sequences: int) -> tuple[int, ...]:
    """Batch sizes to capture as graphs: the engine's own up to the largest batch, and that."""
    sizes = [size for size in rules.captured_batch_sizes if size < sequences]
    return (*sizes, sequences) if rules.captured_batch_sizes else ()


def _placed(pools: Sequence[Staffed]) -> list[Placed]:
    placed = []
    for pool in pools:
        size = pool.priced.setup.parallelism.ranks_per_stage
        for replica, devices in enumerate(pool.devices):
            for number, device in enumerate(devices):
                placed.append(
                    Placed(pool=pool.name, replica=replica, rank=number % size, stage=number // size, device=device)
                )
    return placed


def _experts(instance: Instance, pools: Sequence[Staffed]) -> list[LayerMap]:
    """Experts placed for the recorded loads; without any in order over the slots, spare ones repeat the first."""
    found, balance = [], balance_of(instance)
    routed = [number for number, layer in enumerate(instance.llm.layers) if layer.ffn.experts]
    for pool in pools:
        setup, experts = pool.priced.setup, instance.llm.experts
        ep, spare = setup.parallelism.ep, setup.redundant_experts
        if ep == 1:
            continue
        usual = tuple(slot % experts for slot in range(experts + spare))
        placed = balance.maps(ep, spare) if balance else [usual] * len(routed)
        found += [
            LayerMap(pool=pool.name, layer=layer, physical_to_logical=slots)
            for layer, slots in zip(routed, placed, strict=True)
        ]
    return found


def _flows(
    instance: Instance, pools: Sequence[Staffed], running: dict[str, Running], shares: dict[str, float]
) -> list[Sending]:
    handovers = [
        kv_flow(instance.llm, running[sender.name], running[receiver.name], shares[receiver.name])
        for sender, receiver in itertools.product(pools, pools)
        if (sender.role, receiver.role) == ("prefill", "decode") and sender.group is receiver.group
    ]
    returned = [
        kept_flow(instance.llm, running[sender.name], running[receiver.name], receiver.group.classes)
        for sender, receiver in itertools.product(pools, pools)
        if (sender.role, receiver.role) == ("decode", "prefill") and sender.group is receiver.group
        if receiver.keeps is not None and receiver.keeps[0].write_back
    ]
    return [flow for pool in pools for flow in pool_flows(instance.llm, running[pool.name])] + handovers + returned


def _idle(
    instance: Instance, pools: Sequence[Staffed], tiers: Sequence[KVTier], served: dict[int, float]
) -> Iterator[Sending]:
    """What idle KV puts on the links between the devices that keep it and the tiers."""
    for pool in pools:
        devices = [device for replica in pool.devices for device in replica]
        for request_class, share in zip(pool.group.classes, pool.group.mix.share, strict=True):
            for record in tiers:
                if (record.pool, record.request_class) == (pool.name, request_class.name):
                    rate = served[pool.group.index] * float(share)
                    yield from idle_kv_flows(instance.llm, instance.cluster, record, request_class, rate, devices)


def _kv_tiers(instance: Instance, pool: Staffed, rate: float) -> Iterator[KVTier]:
    """Where the idle KV of the pool's classes waits, at ``rate`` requests/s of each replica."""
    if pool.keeps is not None:
        device, whole = pool.chosen.column.footprint.device, rate * pool.chosen.replicas
        yield from records(instance.llm, pool.priced, pool.name, device, whole, pool.keeps, pool.places)


def _links(instance: Instance, routes: Routes, flows: Sequence[Sending]) -> list[LinkLoad]:
    loads = link_loads(routes, flows)
    return [
        LinkLoad(
            source=source,
            target=target,
            fabric=instance.cluster.edges[source, target]["fabric"],
            bytes_per_s=rate,
            bandwidth_bytes_per_s=instance.cluster.edges[source, target]["bandwidth_bytes_per_s"],
            utilisation=rate / instance.cluster.edges[source, target]["bandwidth_bytes_per_s"],
        )
        for (source, target), rate in sorted(loads.items())
    ]


def _prediction(
    instance: Instance,
    pools: Sequence[Staffed],
    points: dict[str, Service],
    shares: dict[str, float],
    served: dict[int, float],
    extrapolated: Sequence[str],
    drawn: Worlds,
) -> Prediction:
    classes: dict[str, Latencies] = {}
    rates: dict[str, float] = {}
    outputs: dict[str, float] = {}
    for group in instance.groups:
        parts = [Part(p.role, shares[p.name], _by_class(p, points[p.name])) for p in pools if p.group is group]
        for position, request_class in enumerate(group.classes):
            classes[request_class.name] = class_latencies(parts, position, request_class)
            rates[request_class.name] = served[group.index] * float(group.mix.share[position])
            outputs[request_class.name] = rates[request_class.name] * request_class.output_tokens
    devices = sum(len(replica) for pool in pools for replica in pool.devices)
    whole = _latency(
        drawn, overall(classes, rates), math.fsum(rates.values()), math.fsum(outputs.values()), devices
    )
    return Prediction(
        **whole.model_dump(),
        classes={name: _latency(drawn, classes[name], rates[name], outputs[name], devices, name) for name in classes},
        confidence=drawn.confidence,
        extrapolated=tuple(dict.fromkeys(extrapolated)),
    )


def _margins(
    instance: Instance,
    pools: Sequence[Staffed],
    points: dict[str, Service],
    prediction: Prediction,
    usd: float,
    tiers: Sequence[KVTier],
) -> Iterator[Margin]:
    """Revenue, cost and margin of every class that has a price."""
    classes = [c for group in instance.groups for c in group.classes]
    if all(c.price_usd_per_million_output_tokens is None for c in classes):
        return
    memory: dict[str, float] = defaultdict(float)
    for tier in tiers:
        memory[tier.request_class] += math.fsum(tier.usd_per_hour.values())
    rent = usd - math.fsum(memory.values())
    worth = {p.name: instance.usd_per_hour(p.device) * sum(map(len, p.devices)) for p in pools}
    cost = dict(memory)
    for pool in pools:
        part = rent * worth[pool.name] / math.fsum(worth.values()) if any(worth.values()) else 0.0
        of = pool.group.classes
        for request_class, share in zip(of, work_shares(pool.priced, points[pool.name], len(of)), strict=True):
            cost[request_class.name] = cost.get(request_class.name, 0.0) + part * float(share)
    for c in classes:
        if c.price_usd_per_million_output_tokens is not None:
            tokens = prediction.classes[c.name].output_tokens_per_s * 3600
            revenue = tokens / 1e6 * c.price_usd_per_million_output_tokens
            yield Margin(
                **{"class": c.name},
                revenue_usd_per_hour=revenue,
                cost_usd_per_hour=cost[c.name],
                margin=1 - cost[c.name] / revenue if revenue else 0.0,
            )


def _by_class(pool: Staffed, point: Service) -> Service:
    """The operating point by class, hits and misses together, histories loaded."""
    if pool.keeps is None:
        return point
    device = pool.chosen.column.footprint.device
    waits = [
        slowest_load_s(pool.priced, device, kept, split, pool.places)
        for kept, split in zip(pool.keeps[0].kept, pool.keeps[1], strict=True)
    ]
    return by_class(point, pool.priced.mix, len(pool.group.classes), waits)


def _drawn(
    instance: Instance,
    pools: Sequence[Staffed],
    planned: dict[str, float],
    shares: dict[str, float],
    served: dict[int, float],
) -> list[DrawnGroup]:
    """The pools with what they may be off by."""

    def drawn(pool: Staffed) -> DrawnPool:
        surprises = instance.surprises(pool.device, [pool.priced.setup])[:, 0]
        return DrawnPool(
            pool.role,
            shares[pool.name],
            pool.priced,
            float(_sequences(pool)),
            planned[pool.name],
            surprises,
            partial(_by_class, pool),
        )

    return [
        DrawnGroup(
            group.classes,
            group.slos,
            [served[group.index] * float(share) for share in group.mix.share],
            [drawn(pool) for pool in pools if pool.group is group],
        )
        for group in instance.groups
    ]


def _latency(
    drawn: Worlds,
    figures: Latencies,
    requests_per_s: float,
    output_tokens_per_s: float,
    devices: int,
    request_class: str | None = None,
) -> Latency:
    values = figures.alone() | {
        "output_tokens_per_s": output_tokens_per_s,
        "output_tokens_per_s_per_device": output_tokens_per_s / devices,
        "requests_per_s": requests_per_s,
    }
    ranges = {name: drawn.interval_80(name, value, request_class) for name, value in values.items()}
    return Latency(**values, interval_80=ranges)


def _routing(pools: Sequence[Staffed], shares: dict[str, float]) -> dict[str, dict[Role, dict[str, float]]]:
    table: dict[str, dict[Role, dict[str, float]]] = defaultdict(dict)
    for pool in pools:
        for request_class in pool.group.classes:
            table[request_class.name].setdefault(pool.role, {})[pool.name] = shares[pool.name]
    return dict(table)


def _provenance(instance: Instance, offer: Offer, pools: Sequence[Staffed], seed: int | None) -> Provenance:
    calibrations = {p.chosen.column.footprint.device: p.calibration.to_json() for p in pools}
    options = instance.scenario.options
    several = max(options.survive_domain_failures, options.survive_host_failures) > 1
    return Provenance(
        versions={name: metadata.version(name) for name in ("rackplan", "ortools", "numpy", "networkx")},
        calibrations=dict(sorted(calibrations.items())),
        seed=seed,
        inputs={"scenario": hashlib.sha256(instance.scenario.model_dump_json(by_alias=True).encode()).hexdigest()},
        profiles={"priced": offer.priced, "columns": len(offer.columns)}
        | {
            f"dropped {role}: {why}": n
            for role, reasons in offer.dropped.items()
            for why, n in sorted(reasons.items())
            if n
        },
        bound_over="all legal replica shapes, counts and packings, at the largest load that keeps the promises; "
        "chunk sizes and prompts per step from the engine's list; stages over as few scale-up domains as hold them"
        + (
            f"; spare expert copies for at most {MORE_SLOTS} more slots a rank"
            if instance.scenario.expert_loads
            else ""
        )
        + ("; losses of several units added up, a replica counted with each that it has a part in" if several else "")
        + ("; ages of idle KV from a grid" if any(c.reuses for g in instance.groups for c in g.classes) else "")
        + (f"; without {offer.unpriced} ways to keep idle KV that there was no time to price" if offer.unpriced else ""),
    )
