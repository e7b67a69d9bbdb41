"""Which devices hold a layer or an expert: every expert of every layer lies somewhere, and where the table of ranks says."""

from __future__ import annotations

from collections import Counter

import pytest

from solver.errors import BadInput
from solver.plan import Plan
from solver.view.facts import facts
from solver.view.scene import Scene
from solver.view.where import holders


def test_slots_and_holders_agree(nvl72: Plan) -> None:
    (layer, *_), maps = sorted({found.layer for found in nvl72.experts}), facts(Scene.of(nvl72))
    for found in (one for one in nvl72.experts if one.layer == layer):
        pool = nvl72.pool(found.pool)
        ranks = pool.parallelism.dp * pool.parallelism.tp if pool.parallelism.moe_tp > 1 else pool.parallelism.ep
        for expert, copies in list(Counter(found.physical_to_logical).items())[::37]:
            held = [rank for rank in holders(nvl72, layer, expert) if rank.pool == pool.name]
            where = {maps[pool.name].expert_rank(rank.rank) for rank in held}
            assert 1 <= len(where) <= copies
            assert len(held) <= pool.replicas * copies * max(1, ranks // pool.parallelism.ep)


def test_a_layer_is_held_by_the_ranks_of_its_stage(nvl72: Plan) -> None:
    for layer in (0, 30, nvl72.pools[0].stages[-1].layers[1]):
        devices = {rank.device for rank in holders(nvl72, layer)}
        stages = {(p.name, n) for p in nvl72.pools for n, s in enumerate(p.stages) if s.layers[0] <= layer <= s.layers[1]}
        assert devices == {rank.device for rank in nvl72.placement if (rank.pool, rank.stage) in stages}


def test_what_is_not_there_is_said(nvl72: Plan) -> None:
    with pytest.raises(BadInput, match="layers 0 to 60"):
        holders(nvl72, 61)
    with pytest.raises(BadInput, match="experts 0 to 255"):
        holders(nvl72, 30, 256)
    with pytest.raises(BadInput, match="layer 0 has no experts"):
        holders(nvl72, 0, 1)
