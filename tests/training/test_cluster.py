"""Training on the cluster graph: contention, placement by the mapping of serving, and what survives a loss."""

from __future__ import annotations

import pytest

import topologies
from solver.optimize.training.place import placed
from solver.optimize.training.solve import solve_training, without_training
from solver.training.instance import TrainingInstance
from solver.training.job import TrainingLayout
from solver.training.scenario import TrainingScenario
from solver.training.schedules import Schedule

TRAINING = {"sequence_tokens": 2048, "global_batch_sequences": 64, "total_tokens": 1e10}


def scenario(cluster: dict[str, object], **more: object) -> TrainingScenario:
    content = {"llm": {"config": "gpt-22b"}, "cluster": cluster, "training": TRAINING}
    return TrainingScenario.from_mapping({**content, **more}, "test")


HGX = {"builder": "hgx", "nodes": 8, "device": "a100"}


def narrow() -> dict[str, object]:
    """One host whose NICs are a quarter of the others'."""
    cluster = topologies.hgx(nodes=8, device="a100")
    for a, b, data in cluster.edges(data=True):
        if data["fabric"] == "scale_out" and any(end.startswith("rack0/host3/") for end in (a, b)):
            data["bandwidth_bytes_per_s"] /= 4
    return {"graph": topologies.to_plain(cluster)}


def test_an_empty_fabric_leaves_the_nics_what_they_have() -> None:
    instance = TrainingInstance.of(scenario(HGX))
    ground = instance.grounds[0]
    layout = TrainingLayout(8, 2, 4, 1, Schedule("1f1b"))
    patterns = instance.fabric.patterns(layout, ground.machine, ground.devices)
    assert set(patterns) == {"data", "hop"}
    assert all(pattern.slowdown == pytest.approx(1.0) for pattern in patterns.values())


def test_a_slow_host_slows_what_crosses_it() -> None:
    fast, slow = solve_training(scenario(HGX)), solve_training(scenario(narrow()))
    assert slow.prediction.step_s > fast.prediction.step_s
    crossing = [traffic for traffic in slow.traffic if traffic.slowdown < 0.5]
    assert crossing
    assert all("host3" in " ".join(traffic.busiest or ()) or traffic.pattern == "hop" for traffic in crossing)


def test_ranks_fill_domains_beside_each_other() -> None:
    instance = TrainingInstance.of(scenario(HGX))
    ground = instance.grounds[0]
    devices = placed(ground, 32)
    assert len(set(devices)) == 32
    assert all(len({device.rsplit("/", 1)[0] for device in devices[n : n + 8]}) == 1 for n in range(0, 32, 8))


def test_survivors_stay_and_the_lost_are_not_used() -> None:
    before = solve_training(scenario(HGX, layout={"tp": 8}))
    lost = without_training(scenario(HGX, layout={"tp": 8}), ["rack0/host2/gpu5"])
    after = solve_training(lost, running=before)
    gone = {f"rack0/host2/gpu{n}" for n in range(8)}
    assert gone.isdisjoint(after.placement)
    same = sum(a == b for a, b in zip(before.placement, after.placement, strict=False))
    assert same >= len(after.placement) - 8


def test_domains_that_lost_a_device_are_a_ground_of_their_own() -> None:
    instance = TrainingInstance.of(without_training(scenario(HGX), ["rack0/host2/gpu5"]))
    sizes = {ground.machine.domain: len(ground.domains) for ground in instance.grounds}
    assert sizes == {8: 7, 7: 8}
    assert all(ground.all_devices == 63 for ground in instance.grounds)
