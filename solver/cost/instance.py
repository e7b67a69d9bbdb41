"""A scenario with its names looked up: the LLM, the cluster, the promises and the calibrations that a solve or check needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import Calibration, calibrations_from_json, packaged
from solver.cost.network.fleet import Fleet, fleets
from solver.cost.pool.mix import Mix
from solver.cost.pool.promise import Promise
from solver.cost.steps.slopes import open_times
from solver.cost.surprises import DRAWS, bare, case, known_surprises, learned_pace
from solver.errors import BadInput
from solver.llm import LLM, to_plain
from solver.llm.catalog import find
from solver.replica import Role, Setup
from solver.workload import SLO, LLMSpec, RequestClass, Scenario
from solver.workload.files import parse_document, read_text
from solver.workload.measures import STATISTICS, Measure, Quantity
from solver.workload.rent import Rent, rent
from solver.workload.scenario import RecordedLoads
from topologies import Device
from topologies.routes.parts import Parts

#: An engine's limit on the context is rounded up to this many tokens.
LENGTH_STEP = 1024
MOST_CALIBRATION = 2**20


#: Promises of which every way to share pools is tried; of more, those in which neighbours by strictness share.
MOST_PARTITIONED = 4
#: Pools that more promises than that share among them, at most, where they do not have pools of their own.
MOST_RUNS = 3

#: By which latency promises are put in order first.
_STRICTEST: tuple[Quantity, ...] = ("tpot", "ttft", "itl", "e2e")

#: The confidence that a prediction itself has: what is taken where nobody asks for more.
EVEN = 0.5

#: Which promises share pools: a set partition of their positions.
Sharing = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PromiseGroup:
    """Request classes that share pools, each with its own promise.

    Attributes
    ----------
    index: position among the groups.
    slos: promise of each class.
    requests_per_s: arrivals (objective ``cost``), or share of the mix (``throughput``).
    """

    index: int
    slos: tuple[SLO, ...]
    classes: tuple[RequestClass, ...]
    mix: Mix
    requests_per_s: float

    @classmethod
    def of(cls, index: int, members: Sequence[tuple[SLO, RequestClass]]) -> PromiseGroup:
        """The group of some classes with their promises."""
        slos, classes = zip(*members, strict=True)
        return cls(index, slos, classes, Mix.of(classes), math.fsum(c.requests_per_s for c in classes))

    @property
    def promise(self) -> Promise:
        """Limits by measure and class."""
        return Promise.of(self.slos)


@dataclass(frozen=True)
class Instance:
    """A scenario and all that its names stand for.

    Attributes
    ----------
    sharing: which promises share pools; each has its own where nothing is said.
    aimed: share of the draws in which pools are to keep their own promises, where that is more than the scenario asks of all
        promises at once.
    """

    scenario: Scenario
    llm: LLM
    cluster: nx.Graph[str]
    sharing: Sharing | None = None
    aimed: float | None = None

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

    @property
    def confidence(self) -> float:
        """Share of the draws in which all promises are to hold at once."""
        return self.scenario.options.slo_confidence

    @property
    def aim(self) -> float:
        """Share of the draws in which each pool is to keep its own part of them."""
        return self.aimed or self.confidence

    @property
    def is_cautious(self) -> bool:
        """Whether promises are to hold with more confidence than the prediction itself has."""
        return self.confidence > EVEN

    @cached_property
    def promises(self) -> tuple[SLO, ...]:
        """The promises that differ."""
        return tuple(slo for slo, _ in self.scenario.traffic.groups(self.scenario.slo))

    @cached_property
    def groups(self) -> tuple[PromiseGroup, ...]:
        """Classes by the pools that they share, in the order of the scenario."""
        promised = [(self._promise(c), c) for c in self.scenario.traffic.classes]
        return tuple(
            PromiseGroup.of(index, [(slo, c) for slo, c in promised if self.promises.index(slo) in together])
            for index, together in enumerate(self._shares)
        )

    @property
    def _shares(self) -> Sharing:
        return self.sharing or tuple((n,) for n in range(len(self.promises)))

    def _promise(self, request_class: RequestClass) -> SLO:
        default = self.scenario.slo
        return request_class.promises(default)

    def sharings(self) -> Iterator[Sharing]:
        """Ways in which promises may share pools, all sharing first, each with its own last.

        All ways for up to ``MOST_PARTITIONED`` promises; of more those with at most ``MOST_RUNS`` groups of neighbours by
        strictness.
        """
        count = len(self.promises)
        if count <= MOST_PARTITIONED:
            yield from sorted(_partitions(tuple(range(count))), key=len)
            return
        by_strictness = sorted(range(count), key=lambda n: _strictness(self.promises[n]))
        for runs in range(1, MOST_RUNS + 1):
            for cuts in combinations(range(1, count), runs - 1):
                ends = pairwise((0, *cuts, count))
                yield tuple(sorted(tuple(sorted(by_strictness[first:end])) for first, end in ends))
        yield tuple((n,) for n in range(count))

    def shared(self, sharing: Sharing) -> Instance:
        """The same with promises sharing pools in one way; itself, with all that it has looked up, where they do already."""
        return self if sharing == self._shares else replace(self, sharing=sharing)

    def shared_as(self, pools: Iterable[Sequence[str]]) -> Instance:
        """The same with promises sharing pools as in a plan; as it is where that is no partition of the promises.

        Parameters
        ----------
        pools: names of the classes that each pool serves.
        """
        of_class = {c.name: self.promises.index(self._promise(c)) for c in self.scenario.traffic.classes}
        served = {frozenset(of_class[name] for name in names if name in of_class) for names in pools}
        sharing = tuple(sorted(tuple(sorted(together)) for together in served if together))
        whole = sorted(n for together in sharing for n in together) == list(range(len(self.promises)))
        return self.shared(sharing) if whole else self

    @cached_property
    def devices(self) -> Mapping[str, Device]:
        """Hardware by the names used in the cluster."""
        return topologies.devices_of(self.cluster)

    @cached_property
    def routes(self) -> topologies.Routes:
        """Routes of the cluster."""
        return topologies.Routes(self.cluster, self._parts)

    @cached_property
    def _parts(self) -> Parts:
        return Parts.of(self.cluster)

    @cached_property
    def fleets(self) -> tuple[Fleet, ...]:
        """What the cluster offers, by kind of device."""
        return fleets(self.cluster, topologies.domain_classes(self.cluster, self._parts))

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

    def surprises(
        self, device: str, setups: Sequence[Setup], outputs: Sequence[str] = ("tpot", "ttft"), noisy: bool = True
    ) -> NDArray[np.float64]:
        """How far off predictions of replicas of one engine and role on a device are in every world: logarithms of what is
        over what is predicted, by output (O, S, DRAWS).

        The textbook roofline is no prediction: nothing is known of how far off it is, and nothing drawn.

        Parameters
        ----------
        noisy: with what each has for reasons of its own, which no other run tells of.
        """
        engine = setups[0].engine
        if engine == "ideal":
            return np.zeros((len(outputs), len(setups), DRAWS))
        hardware, calibration = self.devices[device], self.calibration(engine, device)[0]
        alike = [bare(setup) for setup in setups]
        distinct = list(dict.fromkeys(alike))
        cases, known = [case(setup, self.llm, hardware) for setup in distinct], known_surprises(calibration.learned)
        found = np.stack([known.draws(cases, output, noisy) for output in outputs])
        # What was learned is in the prediction already.
        known_of = np.log(learned_pace(self.llm, hardware, calibration.learned, distinct))
        found[list(outputs).index("tpot")] += open_times(self.llm, hardware, calibration, distinct) - known_of[:, None]
        places = {setup: place for place, setup in enumerate(distinct)}
        return found[:, [places[setup] for setup in alike]]

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
        if device not in self._rents:
            self._rents[device] = rent(self.devices[device], self.scenario.prices, self.scenario.price_basis)
        return self._rents[device]

    @cached_property
    def _rents(self) -> dict[str, Rent]:
        """Those asked for so far: every device of a large cluster asks."""
        return {}

    def usd_per_hour(self, device: str) -> float:
        """Price of one device for an hour; raises as :meth:`rent`."""
        return self.rent(device).usd_per_hour


def _partitions(members: tuple[int, ...]) -> Iterator[Sharing]:
    """Every set partition.

    >>> sorted(_partitions((0, 1, 2)))
    [((0,), (1,), (2,)), ((0,), (1, 2)), ((0, 1), (2,)), ((0, 1, 2),), ((0, 2), (1,))]
    """
    if not members:
        yield ()
        return
    first, *rest = members
    for count in range(len(rest) + 1):
        for company in combinations(rest, count):
            others = tuple(n for n in rest if n not in company)
            for partition in _partitions(others):
                yield ((first, *company), *partition)


def _strictness(slo: SLO) -> tuple[float, ...]:
    """Order of promises, the strictest first."""
    limits = (slo.limit(Measure(quantity, name)) for quantity in _STRICTEST for name in STATISTICS)
    return tuple(math.inf if limit is None else limit for limit in limits)


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
