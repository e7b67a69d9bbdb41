"""What the page's script knows: every device in the order of the drawing, and the facts of its rank."""

from __future__ import annotations

import json
from typing import Any

from solver.view.colouring import WAYS, Colouring
from solver.view.facts import PoolFacts
from solver.view.markup import Markup, tag
from solver.view.scene import Scene

_NO_POOL = {"free": -1, "broken": -2, "idle": -3}


def page_data(scene: Scene, facts: dict[str, PoolFacts]) -> Markup:
    """The data as an element that no browser runs; ``<`` is escaped, so nothing in it can end the element."""
    text = json.dumps(_content(scene, facts), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return tag("script", Markup(text.replace("<", "\\u003c")), type="application/json", id="data")


def _content(scene: Scene, facts: dict[str, PoolFacts]) -> dict[str, Any]:
    """Columns run over the devices.

    ``pool`` is -1 where a device is free, -2 where it is broken, -3 where it is billed and runs nothing; a rank is named by
    its pool, replica, stage and rank. Sizes are in GB.
    """
    ranks = [scene.placed.get(device) for device in scene.devices]
    ways = [Colouring(scene, way) for way in WAYS]
    return {
        "trays": [
            [tray.host, tray.domain, rack.name, list(tray.devices)] for rack in scene.racks for tray in rack.trays
        ],
        "pool": [
            scene.numbers[rank.pool] if rank else _NO_POOL[scene.use(device)]
            for device, rank in zip(scene.devices, ranks, strict=True)
        ],
        **{column: [getattr(rank, column) if rank else 0 for rank in ranks] for column in ("replica", "stage", "rank")},
        "letters": {way.way: [way.letters(device) for device in scene.devices] for way in ways},
        "pools": [_pool(facts[pool.name]) for pool in scene.plan.pools],
    }


def _pool(facts: PoolFacts) -> dict[str, Any]:
    pool = facts.pool
    ranks = pool.parallelism.shape().devices // pool.parallelism.pp
    return {
        "name": pool.name,
        "about": f"{pool.role} on {pool.engine}, {pool.device.upper()}",
        "stages": [
            {
                "layers": facts.layers(number),
                "ledger": [round(size / 1e9, 3) for size in memory.parts.values()],
                "capacity": round(memory.capacity_bytes / 1e9, 3),
            }
            for number, memory in enumerate(facts.ledgers)
        ],
        "expertRank": [facts.expert_rank(rank) for rank in range(ranks)],
        "experts": [[layers, list(held)] for layers, held in facts.held],
    }
