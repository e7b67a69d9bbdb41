"""What changed from one plan to another: cost, promises, pools, and which replicas stay on their devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from solver.plan.schema import Plan, Pool
from solver.workload.measures import MEASURES


@dataclass(frozen=True)
class NumberChange:
    """One number of both plans; None where a plan has none."""

    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """Relative change; None where it has no meaning."""
        return None if self.before is None or self.after is None or not self.before else self.after / self.before - 1


@dataclass(frozen=True)
class PoolChange:
    """One pool: ``before`` and ``after`` are its names, None where it did not or does not exist.

    Attributes
    ----------
    changes: what is different, in words; empty where nothing is.
    kept: replicas that stay on their devices; moved: replicas of the same shape on other devices.
    started, stopped: replicas beyond those, of the new plan and of the old.
    """

    before: str | None
    after: str | None
    changes: tuple[str, ...]
    kept: int
    moved: int
    started: int
    stopped: int


@dataclass(frozen=True)
class Difference:
    """Two plans side by side.

    Attributes
    ----------
    scenario: fields of the scenario that differ, in words.
    figures: cost, promises and rates that differ.
    pools: pools that have a counterpart, then new and dropped ones.
    moved_bytes: weights that devices must load which they did not hold before.
    taken, freed: devices that come into use and that fall out of it.
    """

    scenario: tuple[str, ...]
    figures: tuple[NumberChange, ...]
    pools: tuple[PoolChange, ...]
    moved_bytes: float
    taken: tuple[str, ...]
    freed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        quiet = all(not p.changes and not (p.moved or p.started or p.stopped) for p in self.pools)
        return quiet and not (self.scenario or self.figures or self.moved_bytes or self.taken or self.freed)

    def to_plain(self) -> dict[str, Any]:
        """As data that JSON can hold."""
        told = asdict(self)
        told["figures"] = [asdict(figure) | {"change": figure.change} for figure in self.figures]
        return {"same": self.same, **told}


def held_by(pool: Pool) -> tuple[object, ...]:
    """Device and weights of a pool's ranks: two pools that agree here can take over each other's replicas as they stand."""
    return pool.device, *pool.setup().held


def replicas_of(plan: Plan) -> dict[str, list[tuple[str, ...]]]:
    """Devices of every replica of every pool, stage by stage in rank order."""
    ranked: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for placed in sorted(plan.placement, key=lambda p: (p.pool, p.replica, p.stage, p.rank)):
        ranked[placed.pool][placed.replica].append(placed.device)
    return {name: [tuple(replicas[n]) for n in sorted(replicas)] for name, replicas in ranked.items()}


def difference(before: Plan, after: Plan) -> Difference:
    """Compare two plans.

    A replica is kept where a replica of the same shape had the same ranks on the same devices.
    """
    old, new = replicas_of(before), replicas_of(after)
    used = {device for replicas in old.values() for r in replicas for device in r}
    uses = {device for replicas in new.values() for r in replicas for device in r}
    return Difference(
        scenario=tuple(_scenario(before.scenario.model_dump(mode="json"), after.scenario.model_dump(mode="json"))),
        figures=tuple(figure for figure in _figures(before, after) if figure.before != figure.after),
        pools=tuple(_pools(before, after, old, new)),
        moved_bytes=_moved_bytes(before, after, old, new),
        taken=tuple(sorted(uses - used)),
        freed=tuple(sorted(used - uses)),
    )


def _scenario(before: Any, after: Any, path: str = "scenario") -> Iterator[str]:
    """Leaves that differ; a long value is only named."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _scenario(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _scenario(*pair, f"{path}.{number}")
    elif before != after:
        one, other = _short(before), _short(after)
        if one == other:
            one, other = str(before), str(after)
        yield f"{path}: {one} -> {other}" if len(one) + len(other) < 200 else f"{path} differs"


def _short(value: Any) -> str:
    return str(float(f"{value:.6g}")) if isinstance(value, float) else str(value)


def _figures(before: Plan, after: Plan) -> Iterator[NumberChange]:
    for name in ("usd_per_hour", "usd_per_million_output_tokens", "bound"):
        yield NumberChange(name, getattr(before.objective, name), getattr(after.objective, name))
    yield NumberChange("devices", before.devices, after.devices)
    rates = ("requests_per_s", "output_tokens_per_s", "output_tokens_per_s_per_device")
    for name in (*(measure.field for measure in MEASURES), *rates):
        yield NumberChange(name, getattr(before.prediction, name), getattr(after.prediction, name))
    yield NumberChange("busiest_link_utilisation", _busiest(before), _busiest(after))


def _busiest(plan: Plan) -> float | None:
    return max((link.utilisation for link in plan.links), default=None)


def _pools(
    before: Plan, after: Plan, old: Mapping[str, list[tuple[str, ...]]], new: Mapping[str, list[tuple[str, ...]]]
) -> Iterator[PoolChange]:
    pairs = _counterparts(before, after)
    for one, other in pairs:
        same = held_by(one) == held_by(other)
        here, there = old.get(one.name, []), new.get(other.name, [])
        kept = len(set(here) & set(there)) if same else 0
        moved = min(len(here), len(there)) - kept if same else 0
        yield PoolChange(
            one.name, other.name, tuple(_changes(one, other)), kept, moved, len(there) - kept - moved,
            len(here) - kept - moved,
        )  # fmt: skip
    for pool in after.pools:
        if all(pool is not other for _, other in pairs):
            yield PoolChange(None, pool.name, (f"new: {_words(pool)}",), 0, 0, pool.replicas, 0)
    for pool in before.pools:
        if all(pool is not one for one, _ in pairs):
            yield PoolChange(pool.name, None, (f"dropped: {_words(pool)}",), 0, 0, 0, pool.replicas)


def _counterparts(before: Plan, after: Plan) -> list[tuple[Pool, Pool]]:
    """Pools of the same shape that serve the same classes, then pools of the same role, each once."""
    found: list[tuple[Pool, Pool]] = []
    for alike in (
        lambda one, other: held_by(one) == held_by(other) and one.serves == other.serves,
        lambda one, other: (one.role, one.serves) == (other.role, other.serves),
    ):
        for one in before.pools:
            for other in after.pools:
                if alike(one, other) and not any(one is a or other is b for a, b in found):
                    found.append((one, other))
    return found


def _changes(one: Pool, other: Pool) -> Iterator[str]:
    if held_by(one) != held_by(other):
        yield f"{_words(one)} becomes {_words(other)}"
    elif one.replicas != other.replicas:
        yield f"{one.replicas} -> {other.replicas} replicas"
    for name in ("chunk_tokens", "prompts_per_step", "draft_tokens", "overlap"):
        if getattr(one, name) != getattr(other, name):
            yield f"{name}: {getattr(one, name)} -> {getattr(other, name)}"
    if one.limits.max_sequences != other.limits.max_sequences:
        yield f"max_sequences: {one.limits.max_sequences} -> {other.limits.max_sequences}"


def _words(pool: Pool) -> str:
    shape = pool.parallelism.shape()
    return f"{pool.replicas} x {shape.devices} {pool.device} ({shape}) on {pool.engine}"


def _moved_bytes(
    before: Plan, after: Plan, old: Mapping[str, list[tuple[str, ...]]], new: Mapping[str, list[tuple[str, ...]]]
) -> float:
    """Weights of every rank whose device held another rank, or none."""
    held = {
        (device, rank, held_by(pool))
        for pool in before.pools
        for devices in old.get(pool.name, [])
        for rank, device in enumerate(devices)
    }
    return sum(
        pool.memory.weights_bytes
        for pool in after.pools
        for devices in new.get(pool.name, [])
        for rank, device in enumerate(devices)
        if (device, rank, held_by(pool)) not in held
    )
