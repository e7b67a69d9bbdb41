"""Maps for engines: the rules of their files, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from solver.errors import BadFile, BadInput
from solver.experts import ExpertMap, SlotGrid, map_text, place_experts, read_map, synthetic_loads


@pytest.fixture(scope="module")
def placed() -> ExpertMap:
    return place_experts(synthetic_loads(3, 16, dense_layers=2), SlotGrid(4, 5)).map


def test_sglang_has_a_row_for_every_layer(placed: ExpertMap) -> None:
    """All layers, dense ones too; as many slots as experts and redundant ones; successive slots on a rank."""
    rows = json.loads(map_text(placed, "sglang"))["physical_to_logical_map"]
    assert len(rows) == 5
    for row in rows:
        assert len(row) == 20
        assert set(row) == set(range(16))
        assert all(len(set(row[rank * 5 : rank * 5 + 5])) == 5 for rank in range(4))
    assert rows[2] == placed.physical_to_logical(2) == placed.slots[0].ravel().tolist()


def test_trtllm_has_static_assignments_of_moe_layers(placed: ExpertMap) -> None:
    content = yaml.safe_load(map_text(placed, "trtllm"))
    assert content["num_slots"] == 20
    assert content["layer_updates_per_iter"] == 0
    assert sorted(content["initial_global_assignments"]) == [2, 3, 4]
    assert content["initial_global_assignments"][4] == placed.physical_to_logical(4)


@pytest.mark.parametrize(("engine", "suffix"), [("sglang", ".json"), ("trtllm", ".yaml")])
def test_the_way_back(placed: ExpertMap, tmp_path: Path, engine: str, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_text(map_text(placed, engine))  # type: ignore[arg-type]
    again = read_map(path, ranks=4, moe_layers=placed.moe_layers)
    assert (again.slots == placed.slots).all()
    assert (again.experts, again.moe_layers, again.layers) == (16, (2, 3, 4), 5)


def test_maps_that_no_engine_would_take(placed: ExpertMap) -> None:
    doubled, missing, strange = placed.slots.copy(), placed.slots.copy(), placed.slots.copy()
    doubled[0, 0, 0] = doubled[0, 0, 1]
    missing[missing == 3] = 4
    strange[1, 2, 3] = 16
    for slots, saying in ((doubled, "two copies"), (missing, "expert 3"), (strange, "0 to 15")):
        with pytest.raises(BadInput, match=saying):
            map_text(replace(placed, slots=slots), "sglang")
    with pytest.raises(BadInput, match="MoE layers are 2-4"):
        placed.physical_to_logical(0)


@pytest.mark.parametrize(
    ("name", "content", "saying"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "{}", "physical_to_logical_map"),
        ("a.json", '{"physical_to_logical_map": [[0, 1, 2]]}', "no multiple of 2 ranks"),
        ("a.json", '{"physical_to_logical_map": [[0, 1], [0, 1, 2, 3]]}', "layer 1 has 4 slots, layer 0 has 2"),
        ("a.json", '{"physical_to_logical_map": [[0, "1"]]}', "list of expert numbers"),
        ("a.json", '{"physical_to_logical_map": [[0, 0, 1, 2]]}', "two copies"),
        ("a.json", '{"physical_to_logical_map": [[0, 2, 0, 2]]}', "expert 1"),
        ("a.json", '{"physical_to_logical_map": [[0, 2]]}', "names expert 2"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.yaml", "num_slots: 2", "initial_global_assignments"),
        ("a.yaml", "{num_slots: 4, initial_global_assignments: {3: [0, 1]}}", "num_slots says 4"),
        ("a.toml", "", "read from .json, .yaml, .yml"),
    ],
)
def test_broken_maps_are_named(tmp_path: Path, name: str, content: str, saying: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadFile, match=saying):
        read_map(tmp_path / name, ranks=2)


def test_layers_that_a_map_lacks(placed: ExpertMap, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(map_text(placed, "trtllm"))
    assert read_map(path, ranks=4).moe_layers == (2, 3, 4)
    with pytest.raises(BadFile, match="no slots for layer 0"):
        read_map(path, ranks=4, moe_layers=[0, 2])
    with pytest.raises(BadFile, match="No such file"):
        read_map(tmp_path / "none.json", ranks=4)
