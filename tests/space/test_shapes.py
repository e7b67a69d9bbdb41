"""Shapes: how many fragments a domain holds, against every packing; what is enumerated, against what it must be."""

from __future__ import annotations

import itertools

import pytest
from brute import fewest_hosts

import topologies
from solver.cost.network.fleet import Fleet, fleets
from solver.engines import engine_rules
from solver.llm import LLM
from solver.space.legality import Inquiry, broken_by_shape
from solver.space.shapes import Footprint, Fragment, most_fragments, most_replicas, shapes

SIZES = [sizes for count in (1, 2, 3) for sizes in itertools.combinations_with_replacement((4, 3, 2), count)]


@pytest.mark.parametrize("hosts", SIZES)
def test_a_domain_holds_as_many_fragments_as_any_packing(hosts: tuple[int, ...]) -> None:
    for fragment in (Fragment(n, part) for n in (1, 2, 3) for part in (1, 2, 3)):
        fits = [n for n in range(sum(hosts) + 1) if fewest_hosts(hosts, (fragment,) * n) is not None]
        assert most_fragments(hosts, fragment) == max(fits), fragment


def test_replicas_over_several_domains_take_one_part_of_each() -> None:
    (fleet,) = fleets(topologies.hgx(nodes=3, device="h200", devices_per_host=4))
    assert most_replicas(fleet, Footprint("h200", 1, 1, 2)) == 6
    assert most_replicas(fleet, Footprint("h200", 2, 1, 2)) == 3
    assert most_replicas(fleet, Footprint("h200", 3, 1, 4)) == 1
    assert most_replicas(fleet, Footprint("h200", 4, 1, 1)) == 0


def fleet_of(kind: str) -> Fleet:
    graph = topologies.hgx(nodes=2, device="h200") if kind == "hosts" else topologies.nvl72(racks=2, trays_per_rack=2)
    return fleets(graph)[0]


@pytest.mark.parametrize("kind", ["hosts", "racks"])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-30b-a3b"])
def test_every_setup_has_as_many_devices_as_its_footprint_and_is_there_once(kind: str, name: str) -> None:
    llm, fleet = LLM.from_config(name), fleet_of(kind)
    found = list(shapes(llm, fleet))
    assert len(found) == len(set(found))
    for setup, footprint in ((shape.setup(engine_rules("vllm"), "decode"), shape.footprint("h200")) for shape in found):
        degrees = setup.parallelism
        assert degrees.devices == footprint.devices
        assert setup.domains == footprint.domains
        assert setup.hosts == footprint.domains * footprint.hosts
        assert degrees.ep * degrees.moe_tp == (degrees.tp * degrees.dp if llm.experts else 1)
        assert footprint.size <= max(fleet.domain_sizes)
        assert footprint.per_host <= fleet.host_size
        assert all(layer.attention.heads % degrees.tp == 0 for layer, _ in llm.layer_kinds)
    assert {shape.tp for shape in found} >= {1, 2, 4, 8}
    assert (max(shape.ep for shape in found) > 1) == bool(llm.experts)


def test_redundant_experts_make_copies_divide() -> None:
    """128 experts over 6 ranks: none to spare, or the four that fill the last rank."""
    llm, (fleet,) = LLM.from_config("qwen3-30b-a3b"), fleets(topologies.hgx(nodes=1, device="h200", devices_per_host=6))
    assert {shape.redundant_experts for shape in shapes(llm, fleet) if shape.ep == 6} == {0, 4}
    assert (128 + 4) % 6 == 0


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3"])
def test_rules_of_bare_degrees_say_the_same_of_a_whole_setup(name: str, engine: str) -> None:
    llm, fleet, rules = LLM.from_config(name), fleet_of("racks"), engine_rules(engine)
    found = list(shapes(llm, fleet))[::7]
    asked = Inquiry(llm, rules, fleet.device, [shape.setup(rules, "decode") for shape in found])
    told = list(broken_by_shape(llm, rules, fleet.device, "decode", 0, found))
    assert len(told) > len(rules.rules) / 2
    for rule, mask in told:
        assert (mask == asked.breaks(rule)).all(), rule.name
