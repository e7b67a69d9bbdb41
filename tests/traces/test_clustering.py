"""Classes: blobs that everyone can see, cuts of one tree, the trace's own labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from solver.errors import BadInput
from solver.traces import summarise
from solver.traces.clustering import REUSE_WEIGHT, ClassTree, cluster, points, tree_of
from solver.traces.reading import Reading

Write = Callable[..., Path]


def blobs(seed: int = 1) -> np.ndarray:
    """Three of 300 points, far apart."""
    rng = np.random.default_rng(seed)
    return np.concatenate([centre + rng.normal(0, 0.1, (300, 3)) for centre in ([0, 0, 0], [5, 0, 0], [0, 4, 1])])


def test_a_request_is_a_point() -> None:
    found = points(np.array([100, 1]), np.array([1, 7]), np.array([25, 0]))
    assert found == pytest.approx(np.array([[np.log(100), 0, 0.25 * REUSE_WEIGHT], [0, np.log(7), 0]]))


def test_blobs_are_found() -> None:
    tree = cluster(blobs(), 12, seed=0)
    assert tree.natural_count == 3
    parts = [tree.members(node) for node in tree.cut(3)]
    assert sorted(leaf for part in parts for leaf in part) == list(range(tree.leaves))
    leaf = tree.leaf_of(blobs())
    for part in parts:
        assert sorted(np.unique(np.flatnonzero(np.isin(leaf, part)) // 300)) in ([0], [1], [2])


def test_costs_rise_and_add_up_to_the_variance() -> None:
    places = blobs(2)
    tree = cluster(places, 8, seed=0)
    assert list(tree.costs) == sorted(tree.costs)
    within = sum(((places[tree.leaf_of(places) == leaf] - tree.centres[leaf]) ** 2).sum() for leaf in range(8)) / 900
    assert within + sum(tree.costs) == pytest.approx(tree.variance, rel=1e-3)


def test_the_same_seed_gives_the_same_tree() -> None:
    one, two = cluster(blobs(), 6, seed=3), cluster(blobs(), 6, seed=3)
    assert (one.centres == two.centres).all()
    assert (one.merges, one.costs) == (two.merges, two.costs)


def test_alike_requests_are_one_class() -> None:
    assert cluster(np.zeros((50, 3)), 12, seed=0).nodes == 1
    near = np.random.default_rng(0).normal(0, 0.03, (500, 3))
    assert cluster(near, 12, seed=0).natural_count == 1


def test_cuts_are_nested() -> None:
    tree = cluster(blobs(), 6, seed=0)
    for count in range(1, 7):
        cut = tree.cut(count)
        assert len(cut) == count
        assert sorted(leaf for node in cut for leaf in tree.members(node)) == list(range(6))
    assert tree.cut(1) == [tree.nodes - 1]


def test_ward_by_hand() -> None:
    tree = tree_of(np.array([[0.0, 0, 0], [6, 0, 0], [10, 0, 0]]), np.array([1.0, 2, 1]), 1.0)
    # Centres 0, 3, 10 with weights 1, 2, 1: merging the first two costs 2/3 x 9 = 6; then 1 and 3 at 2 and 10: 48.
    assert tree.merges == ((0, 1), (2, 3))
    assert tree.costs == pytest.approx((6 / 4, 48 / 4))
    assert isinstance(tree, ClassTree)


PLAIN = ["arrival_s,prompt_tokens,output_tokens,class"] + [
    f"{second},{(100, 4000)[second % 2]},{(50, 60)[second % 2]},{('chat', 'code')[second % 2]}" for second in range(100)
]


def test_labels_are_the_classes(write: Write) -> None:
    summary = summarise(write(PLAIN))
    assert [one.name for one in summary.classes()] == ["chat", "code"]
    assert [one.group.content.prompt.moments.mean for one in summary.classes()] == [100, 4000]
    assert [one.name for one in summary.classes(1)] == ["chat + code"]
    with pytest.raises(BadInput, match="3 classes: write auto or a number from 1 to 2"):
        summary.classes(3)


def test_labels_can_be_set_aside(write: Write) -> None:
    summary = summarise(write(PLAIN), Reading(classes_by="lengths"))
    assert [one.name for one in summary.classes()] == ["100-in-50-out", "4k-in-60-out"]
    lines = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"]
    lines += [f"{second},GPT-{second % 3},100,10,110,API log" for second in range(30)]
    assert [one.name for one in summarise(write(lines)).classes()] == ["100-in-10-out"]
    by_label = summarise(write(lines), Reading(classes_by="labels"))
    assert [one.name for one in by_label.classes()] == [f"GPT-{model}, API log" for model in range(3)]


def test_a_plain_trace_without_labels_is_clustered(write: Write) -> None:
    lines = [line.rpartition(",")[0] for line in PLAIN]
    assert [one.name for one in summarise(write(lines)).classes()] == ["100-in-50-out", "4k-in-60-out"]
    with pytest.raises(BadInput, match="names no classes"):
        summarise(write(lines), Reading(classes_by="labels"))


def test_too_many_labels(write: Write) -> None:
    lines = [PLAIN[0]] + [f"{second},100,10,class {second}" for second in range(100)]
    with pytest.raises(BadInput, match="more than 64 different classes"):
        summarise(write(lines))


@pytest.mark.parametrize("count", [0, 13, -1, "many", True, 2.5])
def test_counts_that_cannot_be_had(count: int, write: Write) -> None:
    with pytest.raises(BadInput, match="write auto or a number from 1 to"):
        summarise(write(PLAIN)).classes(count)


def test_the_most_classes_are_limited(write: Write) -> None:
    with pytest.raises(BadInput, match="most_classes"):
        summarise(write(PLAIN), most_classes=0)
