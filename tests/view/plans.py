"""Plans to draw: the packaged scenarios, solved once, and variations made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable

import topologies
from solver.cost.instance import Instance
from solver.plan import KVTier, Plan

NVL72 = "deepseek-v3-2xnvl72"
SMALL = "gpt-oss-120b-8xb200"


def repeated(plan: Plan, racks: int) -> Plan:
    """The same rack over and over: what a plan does in ``rack0``, done in so many racks by as many more replicas."""
    cluster = dict(plan.scenario.cluster) | {"racks": racks}
    traffic = plan.scenario.traffic
    assert traffic is not None
    assert all(rank.device.startswith("rack0/") for rank in plan.placement)
    before = {pool.name: pool.replicas for pool in plan.pools}
    placement = [
        rank.model_copy(
            update={
                "device": rank.device.replace("rack0/", f"rack{rack}/"),
                "replica": rank.replica + rack * before[rank.pool],
            }
        )
        for rack in range(racks)
        for rank in plan.placement
    ]
    pools = [pool.model_copy(update={"replicas": pool.replicas * racks}) for pool in plan.pools]
    return plan.model_copy(
        update={
            "scenario": plan.scenario.model_copy(update={"cluster": cluster}),
            "pools": tuple(pools),
            "placement": tuple(placement),
        }
    )


def with_tiers(plan: Plan, name: str = "assistant") -> Plan:
    """The plan with KV tiers."""
    ages = {"hbm_until_s": 20.0, "dram_until_s": 900.0, "flash_until_s": 36000.0}
    sizes = {"hbm": 4e9, "dram": 7e11, "flash": 2e13}
    tier = KVTier.model_validate({"class": name, **ages, "hit_rate": 0.83, "bytes": sizes})
    return plan.model_copy(update={"kv_tiers": (tier,)})


def with_broken(plan: Plan, is_broken: Callable[[str], bool]) -> Plan:
    """The plan on a cluster of which some devices are not healthy."""
    graph = topologies.to_plain(Instance.of(plan.scenario).cluster)
    for node in graph["nodes"]:
        if node["kind"] == "device" and is_broken(node["id"]):
            node["healthy"] = False
    return plan.model_copy(
        update={"scenario": plan.scenario.model_copy(update={"cluster": {"graph": graph}})},
    )


def hostile(plan: Plan, text: str) -> Plan:
    """The plan with a text in every name that a file may give: vertices, classes, pools and sentences."""
    graph = topologies.to_plain(Instance.of(plan.scenario).cluster)
    content = json.dumps(json.loads(plan.model_dump_json(by_alias=True)) | {"graph": graph})
    names = {node["id"] for node in graph["nodes"]} | {c.name for c in plan.scenario.traffic.classes}
    for name in names:
        content = content.replace(json.dumps(name), json.dumps(name + text))
    whole = json.loads(content)
    whole["scenario"]["cluster"] = {"graph": whole.pop("graph")}
    whole["binding"] = [{"rule": "memory", "because": f"Memory is full{text}", "slack": 0.0}]
    whole["prediction"]["extrapolated"] = [text]
    return _renamed(Plan.model_validate(whole), text)


def _renamed(plan: Plan, end: str) -> Plan:
    """Every pool with a longer name."""
    return plan.model_copy(
        update={
            "pools": tuple(pool.model_copy(update={"name": pool.name + end}) for pool in plan.pools),
            "placement": tuple(rank.model_copy(update={"pool": rank.pool + end}) for rank in plan.placement),
            "experts": tuple(layer.model_copy(update={"pool": layer.pool + end}) for layer in plan.experts),
            "routing": {
                name: {role: {pool + end: share for pool, share in to.items()} for role, to in roles.items()}
                for name, roles in plan.routing.items()
            },
        }
    )
