"""The table of every rank; replica by replica where there are many."""

from __future__ import annotations

from collections.abc import Iterator

from solver.plan import Placed
from solver.view.amounts import plural
from solver.view.facts import PoolFacts, by_replica
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from topologies.units import show_bytes

HEADS = ("device", "pool", "replica", "stage", "rank", "layers", "experts", "KV cache", "memory in use", "of")


def ranks(scene: Scene, facts: dict[str, PoolFacts]) -> Markup:
    """One table, or for a large plan one for each replica that is made when it is opened."""
    groups = by_replica(scene)
    if scene.is_large:
        lists = (_folded(scene, name, replica, members, facts[name]) for (name, replica), members in groups.items())
        body = tag("div", lists, class_="replicas")
    else:
        rows = (_row(rank, facts[name]) for (name, _), members in groups.items() for rank in members)
        body = table(HEADS, rows, f"{plural(len(scene.placed), 'rank')} on as many devices")
    return tag("section", tag("h2", "Every rank"), body, id="ranks")


def _folded(scene: Scene, name: str, replica: int, members: list[Placed], facts: PoolFacts) -> Markup:
    hosts = {scene.instance.cluster.nodes[rank.device]["host"] for rank in members}
    words = f"{name}, replica {replica}: {plural(len(members), 'rank')} on {plural(len(hosts), 'host')}"
    whole = table(HEADS, (_row(rank, facts) for rank in members), words)
    return tag("details", tag("summary", words), tag("template", whole))


def _row(rank: Placed, facts: PoolFacts) -> tuple[str, ...]:
    return tuple(_cells(rank, facts))


def _cells(rank: Placed, facts: PoolFacts) -> Iterator[str]:
    memory = facts.ledgers[rank.stage]
    yield from (rank.device, rank.pool, str(rank.replica), str(rank.stage), str(rank.rank), facts.layers(rank.stage))
    yield facts.experts_told(rank.rank)
    yield show_bytes(memory.kv_bytes)
    yield show_bytes(facts.used_bytes(rank.stage))
    yield show_bytes(memory.capacity_bytes)
