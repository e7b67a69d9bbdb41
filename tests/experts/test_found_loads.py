"""Expert loads as people have them: one recording in many spellings, units that do not matter, nodes that do not divide."""

from __future__ import annotations

import json

import numpy as np
import pytest

from solver.errors import BadFile, BadInput
from solver.experts import Loads, SlotGrid, place_experts
from solver.experts.files.load_files import read_loads
from solver.experts.nodes.homes import single_homes
from solver.experts.synthetic import synthetic_loads
from tests.cli.command_line import rackplan

#: The example of EPLB's page: two layers of twelve experts.
EPLB = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]


@pytest.fixture
def file(tmp_path):
    def write(content, name="loads.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def wide(head, before=lambda layer: ()):
    return "\n".join([head, *(",".join(map(str, (*before(i), *row))) for i, row in enumerate(EPLB))])


EXPERTS = ",".join(f"expert_{i}" for i in range(12))
LONG = "\n".join(f"{i},{j},{load}" for i, row in enumerate(EPLB) for j, load in enumerate(row))
HELD = [[0, 1, 2, 3], [3, 2, 1, 0]]
SAME = {
    "sglang.json": {"logical_count": EPLB},
    "steps.json": {"logical_count": [[[load - 1 for load in row] for row in EPLB], np.ones((2, 12), int).tolist()]},
    "list.json": EPLB,
    "layers.json": {"layer_0": EPLB[0], "layer_1": EPLB[1]},
    "named.json": {"0": dict(enumerate(EPLB[0])), "1": dict(enumerate(EPLB[1]))},
    "passes.json": {
        "records": [{"forward_pass_id": i, "rank": 0, "logical_count": [EPLB[0], EPLB[1]]} for i in range(1)]
    },
    "slots.json": {"expert_load_window": [EPLB], "physical_to_logical_map": [list(range(12))] * 2},
    "rows.jsonl": "\n".join(json.dumps({"layer": i, "counts": row}) for i, row in enumerate(EPLB)),
    "head.csv": wide("layer_id," + EXPERTS, lambda layer: (layer,)),
    "pandas.csv": wide("," + ",".join(map(str, range(12))), lambda layer: (layer,)),
    "numbers.csv": wide(",".join(map(str, range(12)))),
    "total.csv": wide("layer,total," + EXPERTS, lambda layer: (layer, sum(EPLB[layer]))),
    "bare.csv": wide(EXPERTS).partition("\n")[2],
    "ids.csv": wide("", lambda layer: (layer,)).lstrip(),
    "semicolons.csv": wide("layer," + EXPERTS, lambda layer: (layer,)).replace(",", ";"),
    "tabs.tsv": wide("layer," + EXPERTS, lambda layer: (layer,)).replace(",", "\t"),
    "spaces.csv": wide("").lstrip().replace(",", " "),
    "transposed.csv": "\n".join(["expert,layer_0,layer_1", *(f"{j},{EPLB[0][j]},{EPLB[1][j]}" for j in range(12))]),
    "nested.json": {"data": {"model.layers.0.mlp": EPLB[0], "model.layers.1.mlp": EPLB[1]}},
    "long.csv": f"layer,expert,count\n{LONG}",
    "bare_long.csv": LONG,
}


@pytest.mark.parametrize("name", SAME)
def test_one_recording_in_many_spellings(file, name):
    assert read_loads([file(SAME[name], name)]).values.tolist() == [EPLB]


def test_rows_of_ranks_are_summed(file):
    rows = [f"{rank},{i},{j},{load}" for rank in (0, 1) for i, row in enumerate(EPLB) for j, load in enumerate(row)]
    found = read_loads([file("rank,layer,expert,tokens\n" + "\n".join(rows), "ranks.csv")])
    assert found.values.tolist() == [[[2 * load for load in row] for row in EPLB]]


def test_archives_of_numpy(tmp_path):
    for names in (("logical_count", "other"), ("anything",)):
        path = tmp_path / "a.npz"
        np.savez(path, **dict.fromkeys(names, np.array(EPLB)))
        assert read_loads([path]).values.tolist() == [EPLB]
    np.savez(path, a=np.array(EPLB), b=np.array(EPLB))
    with pytest.raises(BadFile, match="holds a, b; name one of them logical_count"):
        read_loads([path])


def test_passes_are_summed_and_slots_become_experts(file):
    passes = [{"rank": rank, "global_physical_count": [[1, 2, 3, 4]] * 2} for rank in (0, 0, 1, 1)]
    found = read_loads([file({"records": passes, "last_physical_to_logical_map": HELD})])
    assert found.values.tolist() == [[[2, 4, 6, 8], [8, 6, 4, 2]]], "each rank records the same global counts"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", {"global_physical_count": [[1, 2]]}, "no physical_to_logical_map tells"),
        ("a.json", {"records": [{"topk_ids_of_layer": []}]}, "records of single tokens"),
        ("a.json", {"hello": 1}, "expected"),
        ("a.csv", "layer,foo,bar\n0,1,2\n", "column 'foo' is neither a numbered expert"),
        ("a.csv", "expert_0,expert_2\n1,2\n", "does not number its experts from 0"),
        ("a.csv", "0,5,6,7\n1,8,9,7\n", "give the table a header"),
        ("a.pt", "PK", "torch.load\\('a.pt', weights_only=True\\)"),
        ("a.npz", "no archive", "not a NumPy archive"),
    ],
)
def test_what_leaves_the_loads_open_is_refused(file, name, content, says):
    with pytest.raises(BadFile, match=says):
        read_loads([file(content, name)])


@pytest.mark.parametrize("grid", [SlotGrid(8, 2), SlotGrid(4, 4), SlotGrid(6, 3)])
def test_the_unit_of_loads_does_not_matter(grid):
    tokens = place_experts(Loads.of(EPLB), grid)
    for scale in (1000.0, 1 / 1033):
        other = place_experts(Loads.of(np.array(EPLB) * scale), grid)
        assert (other.map.slots == tokens.map.slots).all()
        assert other.imbalance.tolist() == tokens.imbalance.tolist()


class TestNodes:
    @pytest.mark.parametrize(
        "options",
        [
            ("--ranks", 8, "--slots", 2, "--ranks-per-node", 4),
            ("--ranks", 8, "--slots", 2, "--ranks-per-node", 4, "--groups", 4),
            ("--ranks", 8, "--slots", 2, "--ranks-per-node", 4, "--groups", 2),
            ("--ranks", 12, "--slots", 1, "--ranks-per-node", 6),
            ("--ranks", 10, "--slots", 2, "--ranks-per-node", 2),
        ],
    )
    def test_the_example_of_eplb(self, file, options):
        ran = rackplan("experts", file({"logical_count": EPLB}), *options, "--json")
        assert (ran.status, "defect" in ran.error) == (0, False)
        assert json.loads(ran.out)

    def test_nodes_that_do_not_divide_the_experts(self):
        loads = synthetic_loads(1, 32, seed=1).mean_shares()
        home = single_homes(loads, SlotGrid(18, 2, 2))[0]
        counts = np.bincount(home, minlength=9)
        assert sorted(set(counts.tolist())) == [3, 4]
        by_node = np.bincount(home, weights=loads[0], minlength=9)
        assert by_node.max() < 2 * by_node.mean()

    def test_groups_that_cannot_be_name_their_option(self, file):
        ran = rackplan("experts", file(EPLB), "--ranks", 8, "--slots", 2, "--ranks-per-node", 4, "--groups", 3)
        assert ran.status == 2
        assert "without --groups" in ran.error


def test_errors_name_options_that_exist(file):
    helped = rackplan("experts", "--help").out
    for option in ("--groups", "--slots", "--ranks-per-node"):
        assert option in helped
    with pytest.raises(BadInput, match="12 experts do not fit"):
        place_experts(Loads.of(EPLB), SlotGrid(4, 2))
