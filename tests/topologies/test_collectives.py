"""All-reduce times against the formulas they state."""

from __future__ import annotations

import math

import pytest

import topologies

SIZE = 1e9


def names(host, count=8):
    return [f"rack{host // 4}/host{host % 4}/gpu{i}" for i in range(count)]


@pytest.fixture(scope="module")
def routes():
    return topologies.Routes(topologies.hgx(8, "h100"))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_inside_a_switch(routes, count):
    expected = 2 * 1e-6 + 2 * (count - 1) / count * SIZE / 450e9
    one_shot = 1e-6 + (count - 1) * SIZE / 450e9
    assert routes.all_reduce_time(names(0, count), SIZE) == pytest.approx(min(expected, one_shot))


def test_a_small_buffer_goes_in_one_shot(routes):
    assert routes.all_reduce_time(names(0), 1e3) == pytest.approx(1e-6 + 7 * 1e3 / 450e9)


def test_across_hosts_every_rail_carries_a_share(routes):
    group = [name for host in range(4) for name in names(host)]
    inside = 2 * (1e-6 + 7 / 8 * SIZE / 450e9)
    ring = 2 * 3 * 2e-6 + 2 * 3 / 4 * SIZE / 8 / 50e9
    assert routes.all_reduce_time(group, SIZE) == pytest.approx(inside + ring)


def test_many_domains_and_a_small_buffer_take_the_tree(routes):
    group = [name for host in range(8) for name in names(host, 1)]
    alpha, wire = 2e-6, 1e4 / 50e9
    assert routes.all_reduce_time(group, 1e4) == pytest.approx(2 * math.log2(8) * alpha + 2 * wire)


def test_an_oversubscribed_spine_slows_rings_across_units():
    def across(ratio):
        graph = topologies.hgx(4, spine_oversubscription=ratio, hosts_per_unit=2)
        return topologies.Routes(graph).all_reduce_time([n for host in range(4) for n in names(host)], SIZE)

    # Two of the four steps of each ring cross units: 25 GB/s of uplinks are left to 50 GB/s of NIC.
    assert across(4.0) - across(1.0) == pytest.approx(2 * 3 / 4 * SIZE / 8 * (1 / 25e9 - 1 / 50e9))


def test_a_torus_sends_in_all_its_rings_at_once():
    """A 4x4 torus of 45 GB/s links: four links per device, so 15/16 S / 180 GB/s for each half."""
    graph = topologies.torus((4, 4))
    devices = [v for v, kind in graph.nodes(data="kind") if kind == "device"]
    routes = topologies.Routes(graph)
    assert routes.all_reduce_time(devices, SIZE) == pytest.approx(2 * (6 * 0.5e-6 + 15 / 16 * SIZE / 180e9), rel=1e-6)
    row = [v for v in devices if graph.nodes[v]["coordinates"][0] == 0]
    assert routes.all_reduce_time(row, SIZE) == pytest.approx(2 * (3 * 0.5e-6 + 3 / 4 * SIZE / 90e9), rel=1e-6)
    pair = [v for v in row if graph.nodes[v]["coordinates"][1] < 2]
    assert routes.all_reduce_time(pair, SIZE) == pytest.approx(2 * (0.5e-6 + 1 / 2 * SIZE / 45e9), rel=1e-2)


def test_one_device_or_nothing_to_send_takes_no_time(routes):
    assert routes.all_reduce_time(names(0, 1), SIZE) == 0
    assert routes.all_reduce_time(names(0), 0) == 0


def test_a_larger_buffer_never_takes_less(routes):
    group = [name for host in range(3) for name in names(host, 5)]
    times = [routes.all_reduce_time(group, 10.0**power) for power in range(2, 12)]
    assert times == sorted(times)
