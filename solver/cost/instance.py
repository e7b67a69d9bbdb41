"""A scenario with its names looked up: the LLM, the cluster, the promises and the calibrations that a solve or check needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import Calibration, calibrations_from_json, packaged
from solver.cost.network.fleet import Fleet, fleets
from solver.cost.pool.mix import Mix
from solver.cost.pool.serving import Promise
from solver.errors import BadInput
from solver.llm import LLM, to_plain
from solver.llm.catalog import find
from solver.replica import Role
from solver.workload import SLO, LLMSpec, RequestClass, Scenario
from solver.workload.files import parse_document, read_text
from solver.workload.rent import Rent, rent
from solver.workload.scenario import RecordedLoads
from topologies import Device

#: An engine's limit on the context is rounded up to this many tokens.
LENGTH_STEP = 1024
MOST_CALIBRATION = 2**20


@dataclass(frozen=True)
class PromiseGroup:
    """Request classes that share a promise.

    Attributes
    ----------
    index: position among the groups.
    requests_per_s: arrivals (objective ``cost``), or share of the mix (``throughput``).
    """

    index: int
    slo: SLO
    classes: tuple[RequestClass, ...]
    mix: Mix
    requests_per_s: float

    @property
    def promise(self) -> Promise:
        """Limits on the 95th percentile."""
        slo = self.slo
        return Promise(
            *(math.inf if v is None else v for v in (slo.ttft_p95_s, slo.tpot_p95_s, slo.itl_p95_s, slo.e2e_p95_s))
        )


@dataclass(frozen=True)
class Instance:
    """A scenario and all that its names stand for."""

    scenario: Scenario
    llm: LLM
    cluster: nx.Graph[str]

    @classmethod
    def of(cls, scenario: Scenario, folder: Path = Path(".")) -> Instance:
        """Look up the names of a scenario, and put the files that it names into it.

        Parameters
        ----------
        folder: where its relative paths start.

        Raises
        ------
        BadInput: an unknown name, a cluster that breaks the schema, a request longer than the LLM's context.
        """
        spec = scenario.llm
        config = _beside(folder, spec.config) if isinstance(spec.config, str) else spec.config
        llm = LLM.from_config(config, weights=spec.weights, kv_cache=spec.kv_cache, family=spec.family)
        cluster = _cluster(scenario, folder)
        found = cls(_whole(scenario, folder, llm, cluster), llm, cluster)
        found.longest  # noqa: B018 - raises where a class does not fit the LLM
        found.expert_shares  # noqa: B018 - raises where recorded loads do not fit the LLM
        return found

    @cached_property
    def groups(self) -> tuple[PromiseGroup, ...]:
        """Classes by promise."""
        pairs = self.scenario.traffic.groups(self.scenario.slo)
        return tuple(
            PromiseGroup(index, slo, classes, Mix.of(classes), math.fsum(c.requests_per_s for c in classes))
            for index, (slo, classes) in enumerate(pairs)
        )

    @cached_property
    def devices(self) -> Mapping[str, Device]:
        """Hardware by the names used in the cluster."""
        return topologies.devices_of(self.cluster)

    @cached_property
    def fleets(self) -> tuple[Fleet, ...]:
        """What the cluster offers, by kind of device."""
        return fleets(self.cluster)

    def fleet(self, device: str) -> Fleet:
        """The fleet of one kind of device."""
        return next(fleet for fleet in self.fleets if fleet.device.name == device)

    @cached_property
    def longest(self) -> int:
        """Longest context that engines are told to accept [tokens]."""
        classes = self.scenario.traffic.classes
        longest, name = max((c.usually_at_most, c.name) for c in classes)
        limit = self.scenario.constraints.max_model_len or self.llm.max_context
        if longest > limit:
            origin = (
                "constraints.max_model_len" if self.scenario.constraints.max_model_len else f"{self.llm.name}'s context"
            )
            raise BadInput(f"class {name!r} needs a context of {longest:,} tokens; {origin} ends at {limit:,}")
        if self.scenario.constraints.max_model_len:
            return self.scenario.constraints.max_model_len
        longest = max(longest, *(c.longest_tokens or 0 for c in classes))
        return min(self.llm.max_context, -(-longest // LENGTH_STEP) * LENGTH_STEP)

    @cached_property
    def expert_shares(self) -> NDArray[np.float64] | None:
        """Share of a layer's tokens by expert under the recorded loads (workloads, layers with experts, experts).

        None where no loads are recorded, or only files named that nobody has read.
        """
        recorded = [entry for entry in self.scenario.expert_loads if isinstance(entry, RecordedLoads)]
        if not recorded:
            return None
        loads = np.array([_routed(entry, self.llm) for entry in recorded])
        return np.asarray(loads / loads.sum(axis=2, keepdims=True))

    @cached_property
    def _domains(self) -> Mapping[str, str]:
        classes = [each for fleet in self.fleets for each in fleet.classes]
        return {device: domain.name for each in classes for domain in each.domains for device in domain.devices}

    def domain_of(self, device: str) -> str:
        """Name of the scale-up domain of a device; an unhealthy device counts with its label."""
        return self._domains.get(device) or str(self.cluster.nodes[device].get("domain") or device)

    def calibration(self, engine: str, device: str) -> tuple[Calibration, str | None]:
        """Calibration of an engine on a device of the cluster, and why it extrapolates (None if it does not)."""
        own, generation = self.scenario.calibration, self.devices[device].generation
        if own is not None:
            known = calibrations_from_json(own, "calibration")
            if len(known) == 1 or (engine, generation) in known:
                return known.get((engine, generation), next(iter(known.values()))), None
        found, doubt = packaged(engine, generation)
        found = found.in_release(self.scenario.engine_version)
        return found, doubt or found.doubt(self.llm.name, device)

    def drafts(self, role: Role) -> tuple[int, ...]:
        """Numbers of draft tokens that pools of a role may use.

        A prefill pool drafts nothing, but may have to be set up as if it did, where the engine hands over only between
        pools that speculate alike.

        Raises
        ------
        BadInput: the checkpoint has no prediction layers.
        """
        wanted = self.scenario.speculation
        if wanted is None:
            return (0,)
        if not self.llm.mtp_layers and max(wanted.choices):
            raise BadInput(
                f"speculation.method mtp: {self.llm.name} has no multi-token-prediction layers; leave speculation out"
            )
        return wanted.choices if role != "prefill" else tuple(sorted({0, *(d for d in wanted.choices if d)}))[:2]

    def accepted(self, drafts: int, role: Role = "decode") -> float:
        """Tokens that a step with so many drafts yields per sequence; a prefill pool's yield its first token alone."""
        wanted = self.scenario.speculation
        return wanted.accepted(drafts) if wanted and drafts and role != "prefill" else 1.0

    def rent(self, device: str) -> Rent:
        """Price of one device for an hour, and where it comes from.

        Raises
        ------
        BadInput: neither the scenario nor the catalog has one.
        """
        return rent(self.devices[device], self.scenario.prices, self.scenario.price_basis)

    def usd_per_hour(self, device: str) -> float:
        """Price of one device for an hour; raises as :meth:`rent`."""
        return self.rent(device).usd_per_hour


def _beside(folder: Path, name: str) -> str:
    """A path relative to the scenario's folder, where there is such a file; a name stays a name."""
    try:
        return str(folder / name) if (folder / name).exists() else name
    except (OSError, ValueError):
        return name


def _cluster(scenario: Scenario, folder: Path) -> nx.Graph[str]:
    spec = scenario.cluster
    if set(spec) == {"graph"}:
        return topologies.validate(topologies.from_plain(spec["graph"]))
    return topologies.build(spec, folder)


def _whole(scenario: Scenario, folder: Path, llm: LLM, cluster: nx.Graph[str]) -> Scenario:
    """The scenario with the content of every file that it names, so that it can be solved again anywhere."""
    changed: dict[str, object] = {}
    config = scenario.llm.config
    if isinstance(config, str) and find(config) is None:
        changed["llm"] = LLMSpec(config=to_plain(llm))
    if _names_a_file(scenario.cluster):
        changed["cluster"] = {"graph": topologies.to_plain(cluster)}
    if isinstance(scenario.calibration, str):
        path = folder / scenario.calibration
        changed["calibration"] = parse_document(read_text(path, MOST_CALIBRATION), str(path))
    return scenario.model_copy(update=changed) if changed else scenario


def _routed(recorded: RecordedLoads, llm: LLM) -> list[tuple[float, ...]]:
    """Recorded loads of the layers with experts.

    Raises
    ------
    BadInput: another number of layers or experts than the LLM has, or tokens missing where it routes some.
    """
    what = f"expert loads {recorded.source[:200]!r}"
    if not llm.experts:
        raise BadInput(f"{what}: {llm.name} has no experts; leave expert_loads out")
    if len(recorded.loads) != len(llm.layers):
        raise BadInput(
            f"{what} have {len(recorded.loads)} layers; {llm.name} has {len(llm.layers)}, those without experts included"
        )
    found = []
    for number, (layer, loads) in enumerate(zip(llm.layers, recorded.loads, strict=True)):
        if not layer.ffn.experts:
            if any(loads):
                raise BadInput(f"{what}: layer {number} has tokens; that layer of {llm.name} has no experts")
            continue
        if len(loads) != layer.ffn.experts:
            raise BadInput(f"{what}: layer {number} has {len(loads)} experts; {llm.name} has {layer.ffn.experts}")
        if not any(loads):
            raise BadInput(f"{what}: layer {number} has no tokens; {llm.name} routes every token in it")
        found.append(loads)
    return found


def _names_a_file(spec: object) -> bool:
    if isinstance(spec, Mapping):
        return "file" in spec or any(_names_a_file(part) for part in spec.values())
    return isinstance(spec, list | tuple) and any(_names_a_file(part) for part in spec)
