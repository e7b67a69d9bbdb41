"""Rules about how replicas fit into domains and hosts, each alone, against packings that are tried one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import networkx as nx
from alone import cuts_off, tiny_column, tiny_market
from brute import fewest_hosts

import topologies
from solver.optimize.layout import rules
from solver.optimize.layout.program import HostKind, Joint, Packing
from solver.space.shapes import Fragment


def divisions(counts: Sequence[int], bins: int) -> itertools.product:
    """Every way to divide things of each kind over bins: (bins,) counts for each kind."""
    return itertools.product(
        *([parts for parts in itertools.product(range(n + 1), repeat=bins) if sum(parts) == n] for n in counts)
    )


def fit(sizes: Sequence[int], counts: Sequence[int], bins: int, room: int) -> bool:
    """Whether things of some sizes fit into bins of one size."""
    return any(
        all(sum(size * held[n] for size, held in zip(sizes, division, strict=True)) <= room for n in range(bins))
        for division in divisions(counts, bins)
    )


def test_fragments() -> None:
    cluster = topologies.mark_unhealthy(
        topologies.hgx(nodes=2, device="h200", devices_per_host=4), ["rack0/host0/gpu1"]
    )
    market = tiny_market(cluster=cluster)
    assert [supply.size for supply in market.supplies] == [4, 3]
    columns = [tiny_column(market, size=2, domains=2)]
    about = cuts_off(
        rules.fragments,
        market,
        columns,
        lambda v: v["fragments.0.0"] + v["fragments.0.1"] == 2 * v["replicas.0"],
    )
    assert about == {"fragments.0.0", "fragments.0.1", "replicas.0"}


def test_distinct_domains() -> None:
    market = tiny_market(3, 4)
    columns = [tiny_column(market, domains=2, high=2), tiny_column(market)]
    about = cuts_off(rules.distinct_domains, market, columns, lambda v: -(-v["fragments.0.0"] // 2) <= v["domains.0"])
    assert about == {"fragments.0.0", "domains.0"}


def test_distinct_domains_that_share_a_host() -> None:
    """Each of two hosts has three devices on NVLink and one off it: a replica over two domains takes one on each host."""
    market = tiny_market(cluster=one_off_nvlink())
    columns = [tiny_column(market, size=1, domains=2, high=1)]
    assert [(supply.size, supply.count) for supply in market.supplies] == [(3, 2), (1, 2)]

    def lies(v: dict[str, int]) -> bool:
        each = [v["fragments.0.0"] <= v["domains.0"], v["fragments.0.1"] <= v["domains.1"]]
        return all(each) and v["fragments.0.0"] + v["fragments.0.1"] <= 2

    cuts_off(rules.distinct_domains, market, columns, lies)


def one_off_nvlink() -> nx.Graph[str]:
    """Two hosts of four devices, the last of which is a scale-up domain of its own."""
    graph = topologies.hgx(nodes=2, device="h200", devices_per_host=4)
    for host in range(2):
        device = f"rack0/host{host}/gpu3"
        graph.remove_edges_from([(device, o) for o, d in graph[device].items() if d["fabric"] == "scale_up"])
    return graph


def test_rented_hosts() -> None:
    kinds = (HostKind(2, 8.0, ((0, 1), (1, 1))),)
    market = tiny_market(cluster=one_off_nvlink(), billing="host", host_kinds=kinds)
    about = cuts_off(rules.rented_hosts, market, [], lambda v: max(v["hosts.0"], v["hosts.1"]) <= v["rented.0"])
    assert about == {"hosts.0", "hosts.1", "rented.0"}


def test_packing() -> None:
    """Sizes that divide one another: what the rows demand is then enough."""
    market = tiny_market(3, 6)
    columns = [tiny_column(market, size=4, high=4), tiny_column(market, size=2, high=6)]
    cuts_off(
        rules.packing,
        market,
        columns,
        lambda v: fit([4, 2], [v["fragments.0.0"], v["fragments.1.0"]], v["domains.0"], 6),
    )


def test_packing_of_sizes_that_do_not_divide_is_only_necessary() -> None:
    """Every size is counted by itself; whether a mixture fits is the matter of :func:`test_patterns`."""
    market = tiny_market(1, 8)
    columns = [tiny_column(market, size=3, high=2), tiny_column(market, size=2, high=4)]
    cuts_off(
        rules.packing,
        market,
        columns,
        lambda v: (
            3 * v["fragments.0.0"] + 2 * v["fragments.1.0"] <= 8 * v["domains.0"]
            and v["fragments.0.0"] <= 2 * v["domains.0"]
            and v["fragments.0.0"] + v["fragments.1.0"] <= 4 * v["domains.0"]
        ),
    )


def test_host_packing() -> None:
    """Domains of two hosts with four devices each: replicas with three devices of a host, or with one of each of two."""
    market = tiny_market(2, trays=2)
    assert market.supplies[0].host_sizes == (4, 4)
    columns = [tiny_column(market, size=3, high=5), tiny_column(market, size=1, hosts=2, high=4)]

    def fits(v: dict[str, int]) -> bool:
        hosts = min(v["hosts.0"], 2 * v["domains.0"])
        return fit([3, 1], [v["fragments.0.0"], 2 * v["fragments.1.0"]], hosts, 4)

    cuts_off(rules.host_packing, market, columns, fits)


def test_patterns() -> None:
    """Parts of three and of two devices do not share a host of four, though ten devices of sixteen are asked for."""
    kinds = (Fragment(1, 3), Fragment(1, 2))
    market = tiny_market(2, trays=2, packings=(Packing(0, kinds),))
    columns = [tiny_column(market, size=3, high=2), tiny_column(market, size=2, high=2)]

    def lies(v: dict[str, int]) -> bool:
        held = (v["fragments.0.0"], v["fragments.1.0"])
        hosts = [
            [fewest_hosts((4, 4), (kinds[0],) * threes[n] + (kinds[1],) * twos[n]) for n in range(v["domains.0"])]
            for threes, twos in divisions(held, v["domains.0"])
        ]
        return any(None not in needed and sum(needed) <= v["hosts.0"] for needed in hosts)  # type: ignore[arg-type]

    cuts_off(rules.patterns, market, columns, lies)


def test_joint_contents() -> None:
    """A replica over two domains takes one part of each, beside what else lies there."""
    market = tiny_market(2, 4)
    columns = [tiny_column(market, size=2, domains=2, high=1), tiny_column(market, size=1, high=4)]
    market = tiny_market(2, 4, joint=(Joint(0, tuple(columns)),))

    def lies(v: dict[str, int]) -> bool:
        return any(
            all(wide[n] <= 1 and 2 * wide[n] + small[n] <= 4 for n in range(v["domains.0"]))
            for wide, small in divisions((v["fragments.0.0"], v["fragments.1.0"]), v["domains.0"])
        )

    cuts_off(rules.joint_contents, market, columns, lies)


def test_hosts() -> None:
    market = tiny_market(2, trays=2)
    assert cuts_off(rules.hosts, market, [], lambda v: v["domains.0"] <= v["hosts.0"]) == {"domains.0", "hosts.0"}


def test_device_limit() -> None:
    market = tiny_market(2, 8, max_devices=7)
    columns = [tiny_column(market, size=3), tiny_column(market, size=2)]
    cuts_off(rules.device_limit, market, columns, lambda v: 3 * v["fragments.0.0"] + 2 * v["fragments.1.0"] <= 7)
