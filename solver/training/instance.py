"""A training scenario with its names looked up: the network, the job, the cluster, and the kinds of machine it offers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx

import topologies
from solver.errors import BadInput
from solver.llm import LLM
from solver.training.efficiency import efficiency_of
from solver.training.fabric import GraphFabric
from solver.training.frameworks import Framework, framework
from solver.training.job import Number, TrainingJob
from solver.training.links import RankMachine
from solver.training.network import MEGATRON, Network, from_llm
from solver.training.scenario import TrainingScenario
from solver.workload.files import parse_document, read_text
from solver.workload.rent import rent
from topologies import Domain


@dataclass(frozen=True)
class Ground:
    """Devices of one kind of which every scale-up domain gives equally many: what one layout may lie on.

    Attributes
    ----------
    domains: that have so many, those on the same leaves beside each other. all_devices: of the kind, these and others.
    """

    machine: RankMachine
    domains: tuple[Domain, ...]
    all_devices: int
    host: int

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices in order."""
        return tuple(device for domain in self.domains for device in domain.devices[: self.machine.domain])


@dataclass(frozen=True)
class TrainingInstance:
    """A scenario and all that its names stand for."""

    scenario: TrainingScenario
    network: Network
    measured_with_scores: bool
    fp8: bool
    cluster: nx.Graph[str]

    @classmethod
    def of(cls, scenario: TrainingScenario, folder: Path = Path(".")) -> TrainingInstance:
        """Look up the names of a scenario, and put the files that it names into it.

        Raises
        ------
        BadInput: an unknown name, or a cluster that breaks the schema.
        """
        config: str | dict[str, Any] = scenario.llm.config
        spec = scenario.cluster
        if "graph" in spec:
            cluster = topologies.validate(topologies.from_plain(spec["graph"]))
        else:
            cluster = topologies.build(spec, folder)
        if "file" in spec:
            spec = {"graph": topologies.to_plain(cluster)}
        if isinstance(config, str) and config not in MEGATRON and (folder / config).is_file():
            config = parse_document(read_text(folder / config, 2**24), config)
        whole = scenario.model_copy(update={"llm": scenario.llm.model_copy(update={"config": config}), "cluster": spec})
        if isinstance(config, str) and config in MEGATRON:
            return cls(whole, MEGATRON[config], True, False, cluster)
        llm = LLM.from_config(config, weights=scenario.llm.weights, family=scenario.llm.family)
        dtypes = {str(llm.precision.experts), str(llm.precision.dense), str(llm.precision.attention)}
        return cls(whole, from_llm(llm), False, any("fp8" in dtype for dtype in dtypes), cluster)

    def job(self, machine: RankMachine) -> TrainingJob:
        """The job, in the numbers of a machine.

        Raises
        ------
        BadInput: the device has no such numbers.
        """
        spec, has = self.scenario.training, "fp8" in machine.device.flops
        if spec.precision == "fp8" and not has:
            raise BadInput(f"training.precision is fp8; {machine.device.name} has {', '.join(machine.device.flops)}")
        number: Number = "fp8" if spec.precision == "fp8" or (spec.precision == "auto" and self.fp8 and has) else "bf16"
        return TrainingJob(
            spec.sequence_tokens,
            spec.global_batch_sequences,
            spec.total_tokens,
            precision=number,
            moments_bytes={"fp32": 8, "bf16": 4}[spec.moments],
            nodes_per_token=spec.nodes_per_token,
            reversible=spec.reversible,
            light_dense=self.framework.light_dense,
            flash=not self.measured_with_scores if spec.flash is None else spec.flash,
        )

    @property
    def framework(self) -> Framework:
        """What may be used.

        Raises
        ------
        BadInput: the network is reversible and the framework knows no such layers.
        """
        found = framework(self.scenario.training.framework)
        if self.scenario.training.reversible and not found.reversible:
            raise BadInput(f"training.reversible: {found.name} has no reversible layers; set training.framework to any")
        return found

    @cached_property
    def grounds(self) -> tuple[Ground, ...]:
        """Kinds of device, each with every size of domain that occurs: smaller sizes reach more domains."""
        by_kind: dict[str, list[Domain]] = defaultdict(list)
        for group in topologies.domain_classes(self.cluster):
            by_kind[group.device] += group.domains
        hardware = topologies.devices_of(self.cluster)
        found = []
        for kind, domains in sorted(by_kind.items()):
            device = hardware[kind]
            total = sum(domain.size for domain in domains)
            host = max(len(devices) for domain in domains for devices in domain.hosts)
            for size in sorted({domain.size for domain in domains}, reverse=True):
                machine = RankMachine(device, efficiency_of(device.generation), size)
                able = _near_each_other([domain for domain in domains if domain.size >= size])
                found.append(Ground(machine, able, total, host))
        return tuple(found)

    def ground(self, device: str, domain: int) -> Ground | None:
        """The ground of a kind of device and size of domain; None where the cluster has none."""
        return next((g for g in self.grounds if (g.machine.device.name, g.machine.domain) == (device, domain)), None)

    @cached_property
    def fabric(self) -> GraphFabric:
        """The cluster's links."""
        return GraphFabric(self.cluster)

    def price(self, ground: Ground) -> float:
        """USD per device-hour.

        Raises
        ------
        BadInput: none is known.
        """
        return rent(ground.machine.device, self.scenario.prices, self.scenario.price_basis).usd_per_hour

    def unit(self, ground: Ground) -> int:
        """Devices that are rented together."""
        return {"device": 1, "host": ground.host, "domain": ground.machine.domain}[self.scenario.billing]

    @property
    def whole(self) -> bool:
        """Whether every device of the kind is paid, used or not."""
        return self.scenario.owned or self.scenario.objective == "throughput"

    def rent(self, ground: Ground, devices: int) -> float:
        """USD per hour of what so many devices in use make one pay for."""
        unit = self.unit(ground)
        rented = ground.all_devices if self.whole else min(ground.all_devices, -(-devices // unit) * unit)
        return rented * self.price(ground)


def _near_each_other(domains: Sequence[Domain]) -> tuple[Domain, ...]:
    """Domains in an order in which those on the same leaves follow each other."""
    first: dict[tuple[str, ...], int] = {}
    for position, domain in enumerate(domains):
        first.setdefault(domain.leaves, position)
    return tuple(sorted(domains, key=lambda domain: first[domain.leaves]))
