"""Idle KV waits where the plan says, is found as often as it says, fits, and costs what it says."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from solver.check.evidence import Evidence, differs
from solver.check.stays import Stay
from solver.plan import KVTier, Pool
from solver.workload.kv_tiers import TIERS, KVTierName, MemoryTier, tier_of
from topologies.units import show_bandwidth, show_bytes

#: Share of a tier's bandwidth that loads and writes may take on average.
MOST_BUSY = 0.8
#: The integral of what waits is taken numerically.
CLOSE = 1e-5


def records_are_whole(evidence: Evidence) -> Iterator[str]:
    """A promise keeps its KV in one pool that prefills for it, with a record for each class, in tiers that are allowed."""
    plan = evidence.plan
    pools = {pool.name: pool for pool in plan.pools}
    options = plan.scenario.options
    for name, count in Counter(tier.request_class for tier in plan.kv_tiers).items():
        if count > 1:
            yield f"idle KV of class {name!r} has {count} records"
    for tier in plan.kv_tiers:
        pool = pools.get(tier.pool)
        if pool is None or pool.role == "decode" or tier.request_class not in pool.serves:
            yield f"idle KV of class {tier.request_class!r} is with pool {tier.pool!r}, which does not prefill for it"
            continue
        if sum(p.role == pool.role and p.serves == pool.serves for p in plan.pools) > 1:
            yield f"idle KV of class {tier.request_class!r} is with one of several {pool.role} pools"
        if {t.request_class for t in plan.kv_tiers if t.pool == tier.pool} != set(pool.serves):
            yield f"pool {tier.pool} keeps KV for some of its classes and not for others"
        if any(later < age for age, later in pairwise(tier.until_s.values())):
            yield f"the ages of class {tier.request_class!r} fall from one tier to the next"
        used = {name for name, size in tier.bytes.items() if size}
        if options.kv_tiers != "auto" and not used <= set(options.kv_tiers):
            yield f"idle KV of class {tier.request_class!r} is in {sorted(used)}; the scenario allows {options.kv_tiers}"
        if tier.write_back and pool.role == "unified":
            yield f"pool {pool.name} is unified and needs nothing sent back"


def _stays(evidence: Evidence) -> Iterator[tuple[KVTier, Pool, Stay]]:
    classes = {c.name: c for c in evidence.plan.scenario.traffic.classes}
    for tier in evidence.plan.kv_tiers:
        pool = evidence.plan.pool(tier.pool)
        yield tier, pool, Stay(classes[tier.request_class], tier, pool.role)


def ages_give_what_is_claimed(evidence: Evidence) -> Iterator[str]:
    """Hits, bytes, traffic, load time and spared devices follow from the ages."""
    for tier, pool, stay in _stays(evidence):
        derived = _derived(evidence, tier, pool, stay)
        for name, value in derived.items():
            claimed = getattr(tier, name)
            pairs = (
                ((value, claimed),)
                if not isinstance(value, dict)
                else tuple((value.get(key, 0.0), claimed.get(key, 0.0)) for key in sorted({*value, *claimed}))
            )
            if any(differs(ours, theirs, CLOSE) for ours, theirs in pairs):
                yield f"{name} of class {tier.request_class!r} is {claimed}; its ages give {value}"
        caches = pool.replicas * pool.parallelism.dp
        own = [age for name, age in tier.until_s.items() if tier_of(name).lies != "shared storage"]
        looked_for = max(own) > 0 or not any(tier.until_s.values())
        at_random = evidence.plan.scenario.traffic.routing == "random"
        if not at_random and tier.caches != 1:
            yield f"class {tier.request_class!r} returns to its own cache; the plan counts on {tier.caches}"
        if at_random and looked_for and tier.hit_rate and tier.caches < caches:
            yield (
                f"class {tier.request_class!r} is routed at random over {caches} caches; "
                f"the plan counts on {tier.caches}"
            )


def _derived(evidence: Evidence, tier: KVTier, pool: Pool, stay: Stay) -> dict[str, float | dict[str, float]]:
    llm, one = evidence.instance.llm, stay.request_class
    rate = evidence.plan.prediction.classes[one.name].requests_per_s
    shared = one.reused_tokens.shared
    whole = one.prompt_tokens + one.output_tokens
    token = (llm.kv_bytes(float(whole)) - llm.kv_bytes(float(shared))) / (whole - shared)
    hits: dict[str, float] = {}
    held: dict[str, float] = {}
    moved: dict[str, float] = {}
    loads = [0.0]
    priced, start = evidence.priced[pool.name], 0.0
    for name, end in tier.until_s.items():
        if end > start:
            hits[name] = stay.hit(end) - stay.hit(start)
            held[name] = rate * stay.stored * token * stay.held_s(start, end)
            if tier_of(name).lies != "device":
                moved[name] = rate * token * (stay.stored * stay.waiting(start) + hits[name] * stay.found)
            if tier_of(name).lies != "device" and hits[name] > 0:
                loads.append(_load_s(evidence, pool, stay, tier_of(name)))
            start = end
    spared = priced.replicas.prompt_s(one.prompt_tokens - shared, shared)
    again = priced.replicas.prompt_s(max(one.prompt_tokens - shared - stay.found, 1.0), shared + stay.found)
    taken = float(spared[1][0] - again[1][0]) * rate * stay.hit(start) * pool.parallelism.shape().devices
    return {
        "hit_rate": stay.hit(start),
        "hit_rate_by_tier": {name: share for name, share in hits.items() if share > 0},
        "found_tokens": float(stay.found),
        "stored_tokens": float(stay.stored),
        "bytes": held,
        "bytes_per_s": moved,
        "load_s": max(loads),
        "shared_bytes": pool.replicas * pool.parallelism.dp * (llm.kv_bytes(float(shared)) if shared else 0.0),
        "spared_prefill_devices": taken / pool.parallelism.dp,
    }


def _load_s(evidence: Evidence, pool: Pool, stay: Stay, tier: MemoryTier) -> float:
    """History of a hit onto the fullest rank, over the slowest link of any device of the kind."""
    ledger, shared = evidence.priced[pool.name].replicas.ledger, float(stay.request_class.reused_tokens.shared)
    size = (ledger.kv_bytes(shared + stay.found) - ledger.kv_bytes(shared)).max()
    devices = [
        vertex
        for fleet in evidence.instance.fleets
        if fleet.device.name == pool.device
        for c in fleet.classes
        for domain in c.domains
        for vertex in domain.devices
    ]
    return float(size) / min(_rate(evidence, vertex, tier) for vertex in devices)


def _rate(evidence: Evidence, vertex: str, tier: MemoryTier) -> float:
    """Bandwidth of one device to a tier, an equal part of what its host has [B/s]."""
    graph, host = evidence.instance.cluster, str(evidence.instance.cluster.nodes[vertex]["host"])
    hardware = evidence.instance.fleet(str(graph.nodes[vertex]["device"])).device
    if tier.lies == "shared storage":
        return hardware.scale_out_bytes_per_s
    if tier.lies == "host memory":
        return hardware.host_link_bytes_per_s
    neighbours = _healthy_on(evidence, host)
    stores = [graph.edges[host, v]["bandwidth_bytes_per_s"] for v in graph[host] if graph.nodes[v]["kind"] == "storage"]
    return float(min(hardware.host_link_bytes_per_s, sum(stores) / len(neighbours)))


def _healthy_on(evidence: Evidence, host: str) -> list[str]:
    """Devices among which a host's memory and stores are divided: one that is not healthy loads nothing."""
    nodes = evidence.instance.cluster.nodes(data=True)
    return [v for v, data in nodes if data["kind"] == "device" and data["host"] == host and data["healthy"]]


def _size(evidence: Evidence, vertex: str, tier: MemoryTier) -> float:
    """Capacity of a tier that one device brings, an equal part of its host's [bytes]."""
    graph, host = evidence.instance.cluster, str(evidence.instance.cluster.nodes[vertex]["host"])
    neighbours = _healthy_on(evidence, host)
    stores = [graph.nodes[v]["capacity_bytes"] for v in graph[host] if graph.nodes[v]["kind"] == "storage"]
    whole = graph.nodes[host]["dram_bytes"] if tier.lies == "host memory" else sum(stores)
    return float(whole) / len(neighbours)


def tiers_hold_it(evidence: Evidence) -> Iterator[str]:
    """Every rank's part fits into its part of the host's memory and flash, and all of it into the shared stores."""
    waits: dict[tuple[str, KVTierName], float] = defaultdict(float)
    moves: dict[tuple[str, KVTierName], float] = defaultdict(float)
    for record in evidence.plan.kv_tiers:
        for name, size in record.bytes.items():
            waits[record.pool, name] += size
        for name, rate in record.bytes_per_s.items():
            moves[record.pool, name] += rate
    shared = [0.0, 0.0]
    for (pool_name, name), size in sorted(waits.items()):
        tier, rate = tier_of(name), moves[pool_name, name]
        if tier.lies == "device":
            continue
        devices = [device for replica in evidence.replicas(evidence.plan.pool(pool_name)) for device in replica]
        room = math.inf
        if tier.lies == "shared storage":
            shared = [shared[0] + size, shared[1] + rate]
        else:
            room = min(_size(evidence, device, tier) for device in devices)
        if size / len(devices) > room * (1 + 1e-6):
            waiting = show_bytes(size / len(devices))
            yield f"{name}: pool {pool_name} has {waiting} waiting for each device; {show_bytes(room)} is there"
        each, most = rate / len(devices), min(_rate(evidence, d, tier) for d in devices) * MOST_BUSY
        if each > most * (1 + 1e-6):
            yield f"{name}: pool {pool_name} moves {show_bandwidth(each)} for each device; {show_bandwidth(most)} is there"
    yield from _shared_hold_it(evidence, *shared)


def _shared_hold_it(evidence: Evidence, size: float, rate: float) -> Iterator[str]:
    graph = evidence.instance.cluster
    stores = [
        v
        for v, data in graph.nodes(data=True)
        if data["kind"] == "storage" and all(graph.nodes[n]["kind"] != "host" for n in graph[v])
    ]
    room = math.fsum(graph.nodes[v]["capacity_bytes"] for v in stores)
    most = math.fsum(e["bandwidth_bytes_per_s"] for v in stores for e in graph[v].values()) * MOST_BUSY
    if size > room * (1 + 1e-6):
        yield f"{show_bytes(size)} of idle KV waits in shared stores that hold {show_bytes(room)}"
    if rate > most * (1 + 1e-6):
        yield f"{show_bandwidth(rate)} of idle KV goes in and out of shared stores that carry {show_bandwidth(most)}"


def money_is_right(evidence: Evidence) -> Iterator[str]:
    """Memory is paid where its host is not rented with it; a shared store always is."""
    scenario = evidence.plan.scenario
    prices = scenario.prices
    apart = scenario.billing == "device" and not scenario.owned and scenario.objective == "cost"
    rates = {}
    for tier in TIERS:
        free = tier.lies == "device" or (tier.lies != "shared storage" and not apart)
        price = tier.usd_per_gb_hour(prices)
        rates[str(tier.name)] = 0.0 if free else math.inf if price is None else price
    for record in evidence.plan.kv_tiers:
        for name in sorted({*record.bytes, *record.usd_per_hour}):
            usd = record.bytes.get(name, 0.0) / 1e9 * rates[name]
            if differs(usd, record.usd_per_hour.get(name, 0.0)):
                yield (
                    f"{name} of class {record.request_class!r} costs {usd:.6g} USD/h; "
                    f"the plan says {record.usd_per_hour.get(name, 0.0):.6g}"
                )
