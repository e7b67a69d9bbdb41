"""Engines' rules as data: what each version would refuse to start or to connect, and what it may be told.

One JSON file an engine. A rule is a condition over facts (:mod:`solver.engines.conditions`) that holds where the
engine refuses, with one sentence that says what it means and where it is known from. Rules of replicas and of their hosts
decide which layouts exist; rules of connectors decide which prefill replicas may feed which decode replicas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from solver.engines.conditions import Condition
from solver.engines.memory import EngineMemory
from solver.engines.scheduler import EngineScheduler
from solver.errors import UnknownName
from solver.replica import Engine, Role

Scope = Literal["replica", "hosts", "connector", "pair"]


@dataclass(frozen=True)
class EngineRule:
    """One thing that an engine demands.

    Attributes
    ----------
    name: short name, counted where layouts are dropped.
    scope: what it is about: a ``replica``, its ``hosts``, one side of a ``connector``, or a ``pair`` of replicas.
    when: holds where the engine refuses.
    because: what it means, for a person.
    consequence: what happens to who does it all the same.
    source: where it is known from.
    """

    name: str
    scope: Scope
    when: Condition
    because: str
    consequence: str
    source: str


@dataclass(frozen=True)
class Connector:
    """A way in which prefill replicas hand KV caches over to decode replicas.

    Attributes
    ----------
    name: as the engine calls it. title: for people.
    sides: rules of each replica by itself; pairs: rules of a prefill and a decode replica that meet.
    """

    name: str
    title: str
    sides: tuple[EngineRule, ...]
    pairs: tuple[EngineRule, ...]


@dataclass(frozen=True)
class EngineRules:
    """What one version of an engine would start.

    Attributes
    ----------
    version: the version whose rules these are.
    rules: of replicas and of their hosts.
    connectors: ways to hand over KV caches; of several that connect a plan the first is taken.
    overlap: roles in which two half-batches can overlap compute and exchange.
    exchange_tokens: most tokens per rank that the low-latency exchange takes in one step.
    batched_tokens: choices of the most tokens in one step of a rank, by role.
    max_sequences: most running sequences per attention rank.
    captured_batch_sizes: batch sizes captured as graphs by default.
    memory: how it shares out a device's HBM. scheduler: how it lets requests in.
    """

    name: Engine
    title: str
    version: str
    source: str
    as_of: str
    rules: tuple[EngineRule, ...]
    connectors: tuple[Connector, ...]
    overlap: tuple[Role, ...]
    exchange_tokens: int
    batched_tokens: Mapping[Role, tuple[int, ...]]
    max_sequences: int
    captured_batch_sizes: tuple[int, ...]
    memory: EngineMemory
    scheduler: EngineScheduler


def engine_names() -> list[str]:
    """Names of all engines, sorted."""
    return sorted(
        entry.name.removesuffix(".json") for entry in files(__package__).iterdir() if entry.name.endswith(".json")
    )


def engine_versions(name: str) -> tuple[str, ...]:
    """Versions of an engine whose rules are known, oldest first; the last is the current one.

    Raises
    ------
    UnknownName: no such engine.
    """
    return tuple(_content(name)["versions"])


@cache
def engine_rules(name: str, version: str | None = None) -> EngineRules:
    """The rules of one version of an engine; of the current one without.

    Raises
    ------
    UnknownName: no such engine, or no such version of it.
    """
    content, versions = _content(name), engine_versions(name)
    wanted = version or versions[-1]
    if wanted not in versions:
        raise UnknownName(f"version of {content['title']}", wanted[:40], versions)

    def rules(entries: Sequence[Mapping[str, Any]]) -> tuple[EngineRule, ...]:
        held = (entry for entry in entries if _holds_in(entry, wanted, versions))
        return tuple(
            EngineRule(
                entry["name"], entry["scope"], Condition(entry["when"]), entry["because"], entry["consequence"],
                entry["source"],
            )
            for entry in held
        )  # fmt: skip

    return EngineRules(
        name=content["name"],
        title=content["title"],
        version=wanted,
        source=content["source"],
        as_of=content["as_of"],
        rules=rules(content["rules"]),
        connectors=tuple(
            Connector(each["name"], each["title"], rules(each["sides"]), rules(each["pairs"]))
            for each in content["connectors"]
        ),
        overlap=tuple(content["overlap"]),
        exchange_tokens=content["exchange_tokens"],
        batched_tokens={role: tuple(choices) for role, choices in content["batched_tokens"].items()},
        max_sequences=content["max_sequences"],
        captured_batch_sizes=tuple(content["captured_batch_sizes"]),
        memory=EngineMemory.read(next(entry for entry in content["memory"] if _holds_in(entry, wanted, versions))),
        scheduler=EngineScheduler.read(
            next(entry for entry in content["scheduler"] if _holds_in(entry, wanted, versions))
        ),
    )


@cache
def _content(name: str) -> dict[str, Any]:
    known = engine_names()
    if name not in known:
        raise UnknownName("engine", name, known)
    content: dict[str, Any] = json.loads(files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return content


def _holds_in(entry: Mapping[str, Any], version: str, versions: Sequence[str]) -> bool:
    """Whether a rule holds in a version: from ``since`` on, and before ``until``."""
    place = versions.index(version)
    since, until = entry.get("since", versions[0]), entry.get("until")
    return place >= versions.index(since) and (until is None or place < versions.index(until))
