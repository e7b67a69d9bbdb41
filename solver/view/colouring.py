"""The ways to colour the devices of a drawing: by pool, replica, pipeline stage, rank or fullest link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from solver.check.money import why_whole
from solver.errors import UnknownName
from solver.view.amounts import percent, plural
from solver.view.palette import HEAT_STEPS, ORDER, heat_step, kind
from solver.view.scene import Scene

Way = Literal["pool", "replica", "stage", "rank", "load"]
WAYS: tuple[Way, ...] = get_args(Way)
#: What a reader calls them.
NAMES = {way: way for way in WAYS} | {"load": "fullest link"}
#: CSS classes of devices that run no rank, and what is written on those that are billed.
SWATCHES = {"idle": "b", "free": "u", "broken": "x"}
IDLE = "idle"
#: With more replicas than this, a legend names only the first of each pool.
MOST_KEYS = 16


@dataclass(frozen=True)
class Key:
    """One line of a legend: the CSS class of the swatch, the letters on it, and what it means."""

    swatch: str
    letters: str
    meaning: str


@dataclass(frozen=True)
class Colouring:
    """What a device's colour and letters say."""

    scene: Scene
    way: Way

    def swatch(self, device: str) -> str:
        """CSS class of a device."""
        use = self.scene.use(device)
        if use != "runs":
            return SWATCHES[use]
        rank = self.scene.placed[device]
        if self.way == "pool":
            return f"pool-{kind(self.scene.numbers[rank.pool])}"
        if self.way == "replica":
            return f"replica-{kind(self._replica_numbers[rank.pool, rank.replica])}"
        if self.way == "load":
            return f"load-h{heat_step(self.scene.fullest[device])}"
        return f"{self.way}-q{step(rank.stage if self.way == 'stage' else rank.rank, self._count)}"

    def letters(self, device: str) -> str:
        """What is written on it: the pool, stage (of several) and rank; the replica; or what the colours tell."""
        rank = self.scene.placed.get(device)
        if rank is None:
            return IDLE if self.scene.use(device) == "idle" else ""
        tag = self.scene.tags[rank.pool]
        if self.way == "replica":
            return f"{tag}.{rank.replica}" if rank.replica < 100 else str(rank.replica)
        if self.way == "load":
            return percent(self.scene.fullest[device])
        if self.way == "pool":
            stage = f"{rank.stage}/" if self.scene.plan.pool(rank.pool).parallelism.pp > 1 else ""
            return f"{tag}·{stage}{rank.rank}"
        return str(getattr(rank, self.way))

    @cached_property
    def longest(self) -> int:
        """Most letters on a device."""
        return max(len(self.letters(device)) for device in self.scene.devices)

    def legend(self) -> Iterator[Key]:
        """The legend."""
        kinds = {"pool": self._pools, "replica": self._replicas, "load": self._loads}
        yield from kinds.get(self.way, self._order)()
        uses = self.scene.uses
        if idle := uses["idle"]:
            why = why_whole(self.scene.plan.scenario)
            yield Key(SWATCHES["idle"], IDLE, f"billed, runs nothing, {plural(idle, 'device')}: {why}")
        if free := uses["free"]:
            yield Key(SWATCHES["free"], "", f"not used, not billed, {plural(free, 'device')}")
        if broken := uses["broken"]:
            yield Key(SWATCHES["broken"], "", f"not healthy, {plural(broken, 'device')}")

    def _pools(self) -> Iterator[Key]:
        for number, pool in enumerate(self.scene.plan.pools):
            name = f"{pool.name}, {plural(pool.devices, 'device')}"
            yield Key(f"pool-{kind(number)}", self.scene.tags[pool.name], name)

    def _replicas(self) -> Iterator[Key]:
        """Each replica, or where there are many the first of each pool: the colours only tell neighbours apart."""
        pools = self.scene.plan.pools
        every = sum(pool.replicas for pool in pools) <= MOST_KEYS
        for pool in pools:
            each = plural(pool.parallelism.shape().devices, "device")
            tag = self.scene.tags[pool.name]
            for replica in range(pool.replicas if every else 1):
                name = f"{pool.name} {replica}" if every else f"{pool.name} 0 of {pool.replicas:,} replicas"
                look = kind(self._replica_numbers[pool.name, replica])
                yield Key(f"replica-{look}", f"{tag}.{replica}", f"{name}, {each}")

    def _loads(self) -> Iterator[Key]:
        """Steps of heat up to the fullest."""
        last = max(heat_step(self.scene.fullest[rank.device]) for rank in self.scene.plan.placement)
        yield Key("load-h0", percent(0), "nothing on its links")
        for number, (low, high) in enumerate(zip(HEAT_STEPS, (*HEAT_STEPS[1:], None), strict=True), start=1):
            if number <= last:
                yield Key(f"load-h{number}", "", f"up to {percent(high)}" if high else f"over {percent(low)}")

    def _order(self) -> Iterator[Key]:
        members: dict[int, list[int]] = {}
        for number in range(self._count):
            members.setdefault(step(number, self._count), []).append(number)
        for which, numbers in members.items():
            several = f"{self.way}s {numbers[0]}–{numbers[-1]}"
            name = f"{self.way} {numbers[0]}" if len(numbers) == 1 else several
            yield Key(f"{self.way}-q{which}", str(numbers[0]), name)

    @cached_property
    def _replica_numbers(self) -> dict[tuple[str, int], int]:
        """Replicas in the order in which they are drawn, so that neighbours differ in colour."""
        ranks = (self.scene.placed[device] for device in self.scene.devices if device in self.scene.placed)
        order = dict.fromkeys((rank.pool, rank.replica) for rank in ranks)
        return {replica: number for number, replica in enumerate(order)}

    @cached_property
    def _count(self) -> int:
        """How many stages or ranks there are to tell apart."""
        return 1 + max(rank.stage if self.way == "stage" else rank.rank for rank in self.scene.plan.placement)


def step(number: int, count: int) -> int:
    """Step of the ramp for one of ``count`` things in order.

    >>> step(0, 1), step(0, 4), step(3, 4), step(40, 80)
    (0, 0, 9, 5)
    """
    return 0 if count == 1 else round(number * (len(ORDER) - 1) / (count - 1))


def colouring(scene: Scene, by: str) -> Colouring:
    """The colouring of that name.

    Raises
    ------
    BadInput: there is none.
    """
    for way in WAYS:
        if way == by:
            return Colouring(scene, way)
    raise UnknownName("colouring", by, WAYS)
