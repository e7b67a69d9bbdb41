"""Training scenarios: the file that says what to train and where, and its solution.

A training scenario is a scenario with ``training`` in place of traffic and slo::

    llm: {config: gpt-175b}                         # a catalog name, a config.json, or a network of Korthikanti et al.
    cluster: {builder: hgx, nodes: 8, device: a100}
    training: {sequence_tokens: 2048, global_batch_sequences: 64, total_tokens: 3e11}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

import topologies
from solver.cost.network.fleet import Fleet, fleets
from solver.errors import BadInput, NoPlan
from solver.llm import LLM
from solver.training.job import TrainingJob
from solver.training.network import MEGATRON, Network, from_llm
from solver.training.plan import TrainingPlan
from solver.training.search import Site, train
from solver.workload.fields import Price, Record, Tokens, read_record
from solver.workload.scenario import LLMSpec


class TrainingSpec(Record):
    """What is to be trained.

    Attributes
    ----------
    sequence_tokens, global_batch_sequences, total_tokens: of a sequence, of a step of the optimiser, of the run.
    reversible: the network is reversible. flash: attention keeps no scores; by default it does not, but for networks of
    Korthikanti et al., which were measured without.
    """

    sequence_tokens: Tokens
    global_batch_sequences: Annotated[int, Field(ge=1, le=10_000_000)]
    total_tokens: Annotated[float, Field(ge=1, le=1e18)]
    reversible: bool = False
    flash: bool | None = None


class TrainingOptions(Record):
    """How near to the best is near enough."""

    gap: Annotated[float, Field(ge=0, le=1)] = 0.0


class TrainingScenario(Record):
    """Everything a training solve depends on.

    Attributes
    ----------
    objective: ``cost`` takes the devices that train for the fewest USD per token; ``throughput`` the whole cluster.
    billing: what is rented. owned: the whole cluster is a fixed cost, as for ``throughput``. prices: USD per device-hour.
    """

    llm: LLMSpec
    cluster: dict[str, Any]
    training: TrainingSpec
    objective: Literal["cost", "throughput"] = "throughput"
    billing: Literal["device", "host", "domain"] = "host"
    owned: bool = False
    prices: dict[str, Price] = Field(default_factory=dict)
    options: TrainingOptions = TrainingOptions()

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], name: str) -> TrainingScenario:
        """Read a parsed document; ``name`` stands for it in errors.

        Raises
        ------
        BadInput: naming the path inside the document and what is wrong there.
        """
        return read_record(cls, dict(content), name)


def solve_training(scenario: TrainingScenario, folder: Path = Path("."), time_limit_s: float = 60.0) -> TrainingPlan:
    """The layout with the fewest USD per training token, on the kind of device that is best.

    Raises
    ------
    BadInput: an unknown name, or a device without price. NoPlan: nothing fits.
    """
    network, measured = _network(scenario, folder)
    spec = scenario.training
    job = TrainingJob(
        spec.sequence_tokens,
        spec.global_batch_sequences,
        spec.total_tokens,
        reversible=spec.reversible,
        flash=not measured if spec.flash is None else spec.flash,
    )
    cluster = topologies.build(scenario.cluster, folder)
    plans, reasons = [], []
    for fleet in fleets(cluster):
        try:
            plans.append(train(network, job, _site(scenario, fleet), scenario.options.gap, time_limit_s))
        except NoPlan as none:
            reasons.append(str(none))
    if not plans:
        raise NoPlan(" ".join(reasons) or "The cluster has no healthy device")
    return min(plans, key=lambda plan: plan.usd_per_million_tokens)


def _network(scenario: TrainingScenario, folder: Path) -> tuple[Network, bool]:
    """The network, and whether it is one whose layers were measured with scores in memory."""
    config = scenario.llm.config
    if isinstance(config, str) and config in MEGATRON:
        return MEGATRON[config], True
    beside = folder / config if isinstance(config, str) else None
    return from_llm(LLM.from_config(beside if beside is not None and beside.exists() else config)), False


def _site(scenario: TrainingScenario, fleet: Fleet) -> Site:
    device = fleet.device
    price = scenario.prices.get(device.name, device.usd_per_hour)
    if price is None:
        raise BadInput(
            f"no price is known for device {device.name!r}; give one, for example prices: {{{device.name}: 2.50}}"
        )
    domain = math.gcd(*fleet.domain_sizes)
    unit = {"device": 1, "host": fleet.host_size, "domain": max(fleet.domain_sizes)}[scenario.billing]
    whole = scenario.owned or scenario.objective == "throughput"
    return Site(device, fleet.devices, price, domain, unit, whole)
