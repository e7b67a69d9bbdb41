"""The table of every rank; replica by replica where there are many."""

from __future__ import annotations

from solver.plan import Placed
from solver.view.amounts import plural
from solver.view.facts import PoolFacts, by_replica
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from topologies.units import show_bytes

HEADS = ("device", "stage", "rank", "layers", "experts", "KV cache", "memory in use", "of")


def ranks(scene: Scene, facts: dict[str, PoolFacts]) -> Markup:
    """One table, or for a large plan one for each replica that is made when it is opened."""
    groups = by_replica(scene)
    if scene.is_large:
        lists = (_folded(scene, name, replica, members, facts[name]) for (name, replica), members in groups.items())
        body = tag("div", lists, class_="replicas")
    else:
        rows = (
            (cells[0], name, str(replica), *cells[1:])
            for (name, replica), members in groups.items()
            for cells in (_row(rank, facts[name]) for rank in members)
        )
        heads = (HEADS[0], "pool", "replica", *HEADS[1:])
        body = table(heads, rows, f"{plural(len(scene.placed), 'rank')} on as many devices")
    return tag("section", tag("h2", "Every rank"), body, id="ranks")


def _folded(scene: Scene, name: str, replica: int, members: list[Placed], facts: PoolFacts) -> Markup:
    hosts = {scene.instance.cluster.nodes[rank.device]["host"] for rank in members}
    words = f"{name}, replica {replica}: {plural(len(members), 'rank')} on {plural(len(hosts), 'host')}"
    whole = table(HEADS, (_row(rank, facts) for rank in members), words)
    return tag("details", tag("summary", words), tag("template", whole))


def _row(rank: Placed, facts: PoolFacts) -> tuple[str, ...]:
    """The cells below :data:`HEADS`."""
    memory = facts.ledgers[rank.stage]
    return (
        rank.device,
        str(rank.stage),
        str(rank.rank),
        facts.layers(rank.stage),
        facts.experts_told(rank.rank),
        show_bytes(memory.kv_bytes),
        show_bytes(facts.used_bytes(rank.stage)),
        show_bytes(memory.capacity_bytes),
    )
