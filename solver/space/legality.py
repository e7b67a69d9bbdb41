"""Which replicas an engine would start, and which of them may hand KV caches to which.

The rules are data (:mod:`solver.engines`); here they are asked about many replicas at once. The memory rules live
with the ledger (:mod:`solver.space.candidates`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.engines import Connector, EngineRule, EngineRules
from solver.engines.facts import device_facts, llm_facts, setup_facts, shape_facts
from solver.llm import LLM
from solver.replica import Role, Setup
from solver.space.shapes import ReplicaShape
from topologies import Device

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Inquiry:
    """Replicas that an engine is asked about.

    Attributes
    ----------
    setups: of one engine (R,).
    """

    llm: LLM
    engine: EngineRules
    device: Device
    setups: Sequence[Setup]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Everything that a rule may ask."""
        return llm_facts(self.llm) | setup_facts(self.llm, self.device, self.setups)

    def breaks(self, rule: EngineRule) -> Mask:
        """The replicas that break a rule (R,), with any kind of layer."""
        return _breaks(rule, self.facts, len(self.setups))

    def broken_rules(self) -> Iterator[tuple[EngineRule, Mask]]:
        """Every rule of replicas and hosts, with those that break it."""
        for rule in self.engine.rules:
            yield rule, self.breaks(rule)

    def refusals(self) -> list[list[EngineRule]]:
        """The reasons to refuse each replica."""
        found: list[list[EngineRule]] = [[] for _ in self.setups]
        for rule, mask in self.broken_rules():
            for row in np.flatnonzero(mask):
                found[row].append(rule)
        return found


def broken_by_shape(
    llm: LLM, engine: EngineRules, device: Device, role: Role, draft_tokens: int, shapes: Sequence[ReplicaShape]
) -> Iterator[tuple[EngineRule, Mask]]:
    """The rules of which shapes say enough, with those that break them (R,)."""
    if not shapes:
        return
    table = dict(zip(ReplicaShape._fields, np.array(shapes, np.int64).T, strict=True))
    table["hosts"] *= table["domains"]
    facts = llm_facts(llm) | device_facts(device) | {"role": role, "draft_tokens": draft_tokens, "overlap": False}
    facts |= shape_facts({name: column for name, column in table.items() if name != "per_host"})
    for rule in engine.rules:
        if rule.when.names <= facts.keys():
            yield rule, _breaks(rule, facts, len(shapes))


def _breaks(rule: EngineRule, facts: Mapping[str, Any], count: int) -> Mask:
    """Which of so many replicas break a rule (R,), with any kind of layer."""
    held = rule.when.holds(facts)
    kinds = held.shape[0] if held.ndim == 2 else 1
    return np.asarray(np.broadcast_to(held, (kinds, count)).any(axis=0))


def handover_faults(connector: Connector, prefill: Inquiry, decode: Inquiry) -> Iterator[tuple[EngineRule, Mask]]:
    """Every rule of a connector, with the pairs of a prefill and a decode replica that break it (P, D)."""
    shape = len(prefill.setups), len(decode.setups)
    for rule in connector.sides:
        sides = prefill.breaks(rule)[:, None] | decode.breaks(rule)[None, :]
        yield rule, np.broadcast_to(sides, shape)
    names = {name.split(".")[1] for rule in connector.pairs for name in rule.when.names if "." in name}
    # Axes: kinds of layer, prefill replicas, decode replicas.
    facts = {name: value[:, :, None] if _of_layers(value) else value for name, value in llm_facts(prefill.llm).items()}
    for name in sorted(names):
        facts[f"p.{name}"] = np.asarray(prefill.facts[name])[:, None]
        facts[f"d.{name}"] = np.asarray(decode.facts[name])[None, :]
    for rule in connector.pairs:
        held = rule.when.holds(facts)
        kinds = held.shape[0] if held.ndim == 3 else 1
        yield rule, np.asarray(np.broadcast_to(held, (kinds, *shape)).any(axis=0))


def _of_layers(value: object) -> bool:
    """Whether a fact has one value for each kind of layer (K, 1)."""
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 1


def connects(connector: Connector, prefill: Inquiry, decode: Inquiry) -> Mask:
    """Which prefill replicas may hand over to which decode replicas (P, D)."""
    shape = len(prefill.setups), len(decode.setups)
    broken = [mask for _, mask in handover_faults(connector, prefill, decode)]
    return ~np.any(broken, axis=0) if broken else np.ones(shape, bool)


def most_sequences(engine: EngineRules, setup: Setup) -> int:
    """Sequences that a rank may be told to run at most: its low-latency expert exchange takes so many tokens a step."""
    if setup.role != "decode" or setup.parallelism.dp == 1 or setup.exchange_domains == 1:
        return engine.max_sequences
    return min(engine.max_sequences, engine.exchange_tokens // (1 + setup.draft_tokens))
