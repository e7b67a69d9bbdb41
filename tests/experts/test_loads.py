"""Loads: what is read, and how malformed ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from solver.errors import BadFile, BadInput, UnknownName
from solver.experts import Loads, SlotGrid, place_experts, read_loads, synthetic_loads

GOOD = [[0.0, 0.0, 0.0], [3.0, 2.0, 1.0]]


@pytest.mark.parametrize(
    ("values", "saying"),
    [
        ([[1.0, -2.0]], "layer 0, expert 1 has load -2, which is negative"),
        ([[1.0, float("nan")]], "not a finite number"),
        ([[1.0, float("inf")]], "not a finite number"),
        ([[1.0, 2.0], [3.0]], "every layer needs one number for each expert"),
        ([[0.0, 0.0]], "every expert load is zero"),
        ([["many", "few"]], "must be numbers"),
        ([[None, 1.0]], "must be numbers"),
        ([[]], "empty"),
        ([], "axes"),
        ([1.0, 2.0], "axes"),
        ([[[1.0, 2.0], [0.0, 0.0]], [[1.0, 2.0], [3.0, 4.0]]], "layer 1 has no tokens, although"),
    ],
)
def test_malformed_loads_are_refused(values: object, saying: str) -> None:
    with pytest.raises(BadInput, match=saying):
        Loads.of(values)  # type: ignore[arg-type]


def test_empty_layers_are_dense_unless_declared_otherwise() -> None:
    assert Loads.of(GOOD).dense_layers == (0,)
    assert Loads.of(GOOD, dense_layers=[0]).moe_layers == (1,)
    with pytest.raises(BadInput, match="layer 0 has no tokens, but it is not among the dense layers"):
        Loads.of(GOOD, dense_layers=[])


def test_weights_and_names_must_fit() -> None:
    two = [GOOD, GOOD]
    assert Loads.of(two, ["a", "b"], [3.0, 1.0]).weights.tolist() == [0.75, 0.25]
    for names, weights in ((["a"], None), (["a", "a"], None), (["a", "b"], [1.0]), (["a", "b"], [-1.0, 2.0])):
        with pytest.raises(BadInput):
            Loads.of(two, names, weights)
    with pytest.raises(UnknownName, match="nearest: a"):
        Loads.of(two, ["a", "b"]).select(["A"])
    with pytest.raises(BadInput, match="no load profile"):
        Loads.of(GOOD, ["only"]).without("only")
    with pytest.raises(BadInput, match="share one shape"):
        Loads.joined([Loads.of(GOOD), Loads.of([[1.0, 2.0]])])


def test_all_file_kinds_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"logical_count": GOOD}))
    (tmp_path / "steps.json").write_text(json.dumps({"logical_count": [GOOD, GOOD]}))
    (tmp_path / "wide.csv").write_text("e0,e1,e2\n0,0,0\n3,2,1\n")
    (tmp_path / "bare.csv").write_text("0,0,0\n3,2,1\n")
    (tmp_path / "long.csv").write_text("load,layer,expert\n1,1,2\n3,1,0\n2,1,1\n")
    np.save(tmp_path / "b.npy", np.array(GOOD))
    np.save(tmp_path / "c.npy", np.array([GOOD, GOOD]))
    for name in ("a.json", "steps.json", "wide.csv", "bare.csv", "long.csv", "b.npy", "c.npy"):
        loads = read_loads([tmp_path / name])
        assert loads.moe_layers == (1,)
        assert np.allclose(loads.shares()[0, 0], [1 / 2, 1 / 3, 1 / 6])
    assert read_loads([tmp_path / "a.json", tmp_path / "c.npy"]).names == ("a", "c.0", "c.1")


@pytest.mark.parametrize(
    ("name", "content", "saying"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[1]", "logical_count"),
        ("a.json", '{"logical_count": [[1, 2], [3]]}', "every layer needs one number"),
        ("a.json", '{"logical_count": [[1, -2]]}', "a.json: a: layer 0, expert 1 has load -2"),
        ("a.csv", "", "no rows"),
        ("a.csv", "1,2\n3\n", "row 2 of numbers has 1 cells"),
        ("a.csv", "1,2\n3,x\n", "'x', which is not a number"),
        ("a.csv", "layer,expert,load\n0,0,1\n0,0,1\n", "twice"),
        ("a.csv", "layer,expert,load\n0,0,1\n0,1,1\n1,1,1\n", "layer 1 names 1 of 2 experts"),
        ("a.csv", "layer,expert,load\n0,0.5,1\n", "whole numbers"),
        ("a.csv", "layer,expert,load\n0,0\n", "line 2 has 2 cells"),
        ("a.npy", "no array", "not an array"),
        ("a.txt", "1", "read from .csv, .json, .jsonl, .npy, .npz, .tsv, not .txt"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: str, saying: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadFile, match=saying):
        read_loads([tmp_path / name])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nothing\.json: No such file"):
        read_loads([tmp_path / "nothing.json"])


@pytest.mark.parametrize(
    ("ranks", "slots", "saying"),
    [
        (2, 3, "the fewest slots that hold them are 4 a rank"),
        (4, 9, "use at most 8 slots"),
        (0, 1, "at least one rank"),
    ],
)
def test_grids_that_cannot_hold_the_experts(ranks: int, slots: int, saying: str) -> None:
    with pytest.raises(BadInput, match=saying):
        place_experts(synthetic_loads(1, 8), SlotGrid(ranks, slots))
    with pytest.raises(BadInput, match="multiple of the ranks on a node"):
        SlotGrid(8, 2, ranks_per_node=3)


def test_synthetic_loads_look_like_recorded_ones() -> None:
    """Hottest expert 5-8 times the mean in the middle of the layers, the same for the same seed."""
    loads = synthetic_loads(58, 256, dense_layers=3, seed=4)
    hottest = loads.shares()[:, 0].max(axis=1) * 256
    assert 4 < np.median(hottest) < 9
    assert (loads.values == synthetic_loads(58, 256, dense_layers=3, seed=4).values).all()
    assert loads.dense_layers == (0, 1, 2)
