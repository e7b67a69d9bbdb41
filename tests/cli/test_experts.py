"""``rackplan experts``: loads become maps that engines accept; bad loads become one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import rackplan

RNG = np.random.default_rng(7)


def loads_file(folder: Path, name: str, layers: int = 4, experts: int = 16, dense: tuple[int, ...] = (0,)) -> Path:
    """A recorded load in SGLang's format."""
    counts = RNG.integers(1, 1000, (layers, experts))
    counts[list(dense)] = 0
    return written(folder / f"{name}.json", {"logical_count": counts.tolist()})


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refuse_what_engines_refuse(rows: dict[int, list[int]], experts: int, ranks: int, slots: int) -> None:
    """The engines' rules: one length everywhere, every expert present, successive slots on a rank hold no duplicates."""
    for row in rows.values():
        assert len(row) == ranks * slots
        assert set(row) == set(range(experts))
        for rank in range(ranks):
            held = row[rank * slots : (rank + 1) * slots]
            assert len(set(held)) == slots


@pytest.fixture
def load(tmp_path: Path) -> Path:
    return loads_file(tmp_path, "chat")


def test_sglang_map_has_a_row_for_every_layer(load: Path, tmp_path: Path) -> None:
    ran = rackplan("experts", load, "--ranks", 4, "--slots", 5, "-o", tmp_path / "map.json", "--engine", "sglang")
    assert ran.status == 0, ran.error
    content = json.loads((tmp_path / "map.json").read_text())
    assert set(content) == {"physical_to_logical_map"}
    rows = content["physical_to_logical_map"]
    assert len(rows) == 4
    refuse_what_engines_refuse(dict(enumerate(rows)), 16, 4, 5)


def test_trtllm_map_names_the_moe_layers(load: Path, tmp_path: Path) -> None:
    ran = rackplan("experts", load, "--ranks", 4, "--slots", 5, "-o", tmp_path / "lb.yaml")
    assert ran.status == 0, ran.error
    content = yaml.safe_load((tmp_path / "lb.yaml").read_text())
    assert content["num_slots"] == 20
    assert content["layer_updates_per_iter"] == 0
    assert sorted(content["initial_global_assignments"]) == [1, 2, 3]
    refuse_what_engines_refuse(content["initial_global_assignments"], 16, 4, 5)


def test_json_says_imbalance_and_bound_of_the_map_that_was_written(load: Path, tmp_path: Path) -> None:
    ran = rackplan("experts", load, "--ranks", 4, "--slots", 5, "-o", tmp_path / "map.json", "--json")
    found = json.loads(ran.out)
    counts = np.array(json.loads(load.read_text())["logical_count"], float)
    rows = json.loads((tmp_path / "map.json").read_text())["physical_to_logical_map"]
    assert [layer["layer"] for layer in found["layers"]] == [1, 2, 3]
    for layer in found["layers"]:
        row, load_of = np.array(rows[layer["layer"]]), counts[layer["layer"]]
        ranks = (load_of / np.bincount(row, minlength=16))[row].reshape(4, 5).sum(axis=1)
        assert layer["imbalance"]["chat"] == pytest.approx(ranks.max() / ranks.mean())
        assert 1.0 - 1e-6 <= layer["bound"] <= layer["objective"] * (1 + 1e-9)
        assert layer["gap"] == pytest.approx(layer["objective"] / layer["bound"] - 1)


def test_several_profiles_are_placed_together_and_their_drift_is_told(tmp_path: Path) -> None:
    files = [loads_file(tmp_path, name) for name in ("chat", "code", "search")]
    options = ("--ranks", 4, "--slots", 5, "--weights", "2,1,1", "--leave-one-out")
    found = json.loads(rackplan("experts", *files, *options, "--json").out)
    assert found["profiles"] == {"chat": 0.5, "code": 0.25, "search": 0.25}
    drift = found["drift"]
    for name in found["profiles"]:
        own = drift["placed_for"][name][name]
        others = [drift["placed_for"][name][other] for other in found["profiles"] if other != name]
        assert own < min(others)
        assert drift["placed_for_all"][name] < max(others)
        assert drift["left_out"][name] >= 1.0
    told = rackplan("experts", *files, *options).out
    assert "placed for the row" in told
    assert "weighted mean" in told


def test_nodes_trade_balance_against_traffic(load: Path) -> None:
    command = ("experts", load, "--ranks", 4, "--slots", 5, "--ranks-per-node", 2)
    found = json.loads(rackplan(*command, "--json").out)
    points = found["nodes"]["points"]
    off_node = [point["off_node"] for point in points]
    assert off_node == sorted(off_node, reverse=True)
    assert off_node[0] > off_node[-1]
    assert points[0]["imbalance"] < points[-1]["imbalance"]
    assert found["nodes"]["chosen"] is None
    limit = (off_node[0] + off_node[-1]) / 2 + 0.05
    chosen = json.loads(rackplan(*command, "--off-node", f"{limit:.3f}", "--json").out)["nodes"]["chosen"]
    assert chosen["off_node"]["worst"] <= limit + 1e-3
    assert "undominated" in rackplan(*command).out


def test_a_map_in_use_is_rebalanced_within_its_budget(load: Path, tmp_path: Path) -> None:
    other = loads_file(tmp_path, "tomorrow")
    grid = ("--ranks", 4, "--slots", 5)
    assert rackplan("experts", load, *grid, "-o", tmp_path / "now.json").status == 0
    command = ("experts", other, *grid, "--from", tmp_path / "now.json", "-o", tmp_path / "next.json")
    found = json.loads(rackplan(*command, "--budget", "10%", "--json").out)["rebalanced"]
    before, after = (
        np.array(json.loads((tmp_path / name).read_text())["physical_to_logical_map"])[1:].reshape(3, 4, 5)
        for name in ("now.json", "next.json")
    )
    fetched = sum(
        len(set(new) - set(old))
        for layer_before, layer_after in zip(before.tolist(), after.tolist(), strict=True)
        for old, new in zip(layer_before, layer_after, strict=True)
    )
    assert found["budget_copies"] == 6
    assert 0 < fetched == found["moved_copies"] <= 6
    assert found["after"]["mean"] < found["before"]["mean"]
    assert 0 < found["recovered"] <= 1
    assert "copies are sent" in rackplan(*command).out
    sized = json.loads(rackplan(*command, "--budget", "100MB", "--expert-size", "44MB", "--json").out)["rebalanced"]
    assert (sized["budget_copies"], sized["moved_bytes"]) == (2, 44e6 * sized["moved_copies"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"logical_count": [[1, 2, 3, 4], [1, -2, 3, 4]]}, "layer 1, expert 1 has load -2"),
        ('{"logical_count": [[1, 2, NaN, 4]]}', "layer 0, expert 2 has load nan"),
        ({"logical_count": [[1, 2, 3, 4], [1, 2, 3]]}, "one number for each expert"),
        ({"logical_count": [[1, 2, 3, 4], [0, 0, 0, 0]]}, "layer 1 has no tokens"),
        ({"logical_count": [[0, 0, 0, 0]]}, "every expert load is zero"),
        ({"logical_count": [["a", 2]]}, "must be numbers"),
        ({"logical_count": []}, "loads"),
        ({"other": []}, "logical_count"),
        ("not json", "not JSON"),
    ],
)
def test_malformed_loads_are_one_line(content: object, said: str, tmp_path: Path) -> None:
    ran = rackplan("experts", written(tmp_path / "bad.json", content), "--ranks", 2, "--slots", 2)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.error
    assert ran.error.count("\n") == 1


@pytest.mark.parametrize("name", ["bad.json", "bad.csv", "bad.npy"])
@pytest.mark.parametrize("content", [b"", b"\x80\xff\x00", b"[" * 50_000, b"layer,expert,load\n999999999,0,1\n"])
def test_files_of_anything_are_one_line(name: str, content: bytes, load: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    ran = rackplan("experts", path, "--ranks", 2, "--slots", 2)
    assert (ran.status, str(path) in ran.error, ran.error.count("\n")) == (2, True, 1)
    current = rackplan("experts", load, "--ranks", 4, "--slots", 5, "--from", path)
    assert (current.status, str(path) in current.error) == (2, True)


@pytest.mark.parametrize("expert", [99_999_999_999, 10**30, -1])
def test_maps_that_name_absent_experts_are_refused(expert: int, load: Path, tmp_path: Path) -> None:
    rows = [[*range(16), 0, 1, 2, expert]] * 4
    path = written(tmp_path / "map.json", {"physical_to_logical_map": rows})
    ran = rackplan("experts", load, "--ranks", 4, "--slots", 5, "--from", path)
    assert ran.status == 2
    assert "layer 1 names expert" in ran.error


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    (tmp_path / "friday").mkdir()
    files = [loads_file(tmp_path / day, "loads") for day in ("monday", "friday")]
    found = json.loads(rackplan("experts", *files, "--ranks", 4, "--slots", 5, "--json").out)
    assert list(found["profiles"]) == [str(file.with_suffix("")) for file in files]


def test_profiles_of_unlike_shapes_are_refused(load: Path, tmp_path: Path) -> None:
    ran = rackplan("experts", load, loads_file(tmp_path, "short", experts=8), "--ranks", 4, "--slots", 5)
    assert ran.status == 2
    assert "must share one shape" in ran.error


def test_an_empty_layer_may_be_declared_dense(tmp_path: Path) -> None:
    path = loads_file(tmp_path, "alternating", dense=(0, 2))
    assert "layer 2" in rackplan("experts", path, "--ranks", 4, "--slots", 4).error
    ran = rackplan("experts", path, "--ranks", 4, "--slots", 4, "--dense-layers", "0,2", "--json")
    assert json.loads(ran.out)["dense_layers"] == [0, 2]
    assert rackplan("experts", path, "--ranks", 4, "--slots", 4, "--dense-layers", "1,2").status == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ranks", 2, "--slots", 5), "16 experts do not fit"),
        (("--ranks", 0, "--slots", 5), "at least one rank"),
        (("--ranks", 4, "--slots", 5, "--ranks-per-node", 3), "multiple of the ranks on a node"),
        (("--ranks", 4, "--slots", 5, "--ranks-per-node", 0), "at least one rank"),
        (("--ranks", 4, "--slots", 5, "--groups", 4), "number of ranks on a node"),
        (("--ranks", 4, "--slots", 5, "--ranks-per-node", 2, "--off-node", "lots"), "not a share"),
        (("--ranks", 4, "--slots", 5, "--ranks-per-node", 2, "--groups", 0), "in 0 groups"),
        (("--ranks", 4, "--slots", 5, "--weights", "1,2"), "2 weights were given for 1"),
        (("--ranks", 4, "--slots", 5, "--weights", "x"), "write numbers"),
        (("--ranks", 4, "--slots", 5, "--engine", "vllm"), "vllm"),
        (("--ranks", 4, "--slots", 5, "--from", "absent.json"), "absent.json"),
        (("--ranks", 4, "--slots", 5, "-o", "/no/such/folder/map.json"), "/no/such/folder/map.json"),
    ],
)
def test_bad_options_are_one_line(load: Path, options: tuple[object, ...], said: str) -> None:
    ran = rackplan("experts", load, *options)
    assert ran.status == 2
    assert said in ran.error
    assert "Traceback" not in ran.error


@pytest.mark.parametrize(
    ("budget", "said"), [("some", "write a share"), ("20GB", "size of one expert"), ("130%", "not a share")]
)
def test_bad_budgets_are_one_line(load: Path, tmp_path: Path, budget: str, said: str) -> None:
    grid = ("--ranks", 4, "--slots", 5)
    rackplan("experts", load, *grid, "-o", tmp_path / "now.json")
    ran = rackplan("experts", load, *grid, "--from", tmp_path / "now.json", "--budget", budget)
    assert ran.status == 2
    assert said in ran.error
    more = rackplan("experts", load, "--ranks", 5, "--slots", 5, "--from", tmp_path / "now.json")
    assert more.status == 2
    assert "5 slots a rank" in more.error or "two copies of one expert" in more.error  # whichever the map shows first


def test_help_shows_an_example() -> None:
    ran = rackplan("experts", "--help")
    assert ran.status == 0
    assert "Example: rackplan experts" in " ".join(ran.out.split())


def test_recorded_loads_of_deepseek(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "experts" / "sglang-deepseek" / "prefill_in4096.json"
    if not path.is_file():
        pytest.skip("recorded expert loads are not beside the project here")
    ran = rackplan("experts", path, "--ranks", 32, "--slots", 9, "-o", tmp_path / "map.json", "--json")
    found = json.loads(ran.out)
    assert found["dense_layers"] == [0, 1, 2]
    assert found["gap"]["mean"] <= 0.002
    rows = json.loads((tmp_path / "map.json").read_text())["physical_to_logical_map"]
    assert len(rows) == 61
    refuse_what_engines_refuse({layer: rows[layer] for layer in range(3, 61)}, 256, 32, 9)
