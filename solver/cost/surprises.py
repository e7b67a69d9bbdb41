"""How far off a prediction may be: surprises of the measured runs, and draws of those that the next replica may have.

The logarithm of measured over predicted is a sum of effects, each shared by all that have the same engine, LLM, device, kind
of layout and so on, normal around 0 with a spread of its own, and of noise. Three such sums are taken as independent of each
other: ``tpot`` of the time per output token; ``little`` of TPOT times rate, which is 0 where requests neither queue nor
prefill (Little's law); ``ttft`` of the time to the first token over TPOT. Surprises of measured runs say what the effects
are (a Gaussian posterior); where none was measured, effects keep the spread that they have between others, and a mechanism
that no run had keeps a wide one.

What runs of other LLMs showed narrows what an unseen LLM may do, but moves no prediction of it: with their mean, layouts were
chosen worse than by prediction alone (``tests/benchmarks/choice.py``).

Draws are common: each level of each effect has its own normal numbers, made from its name alone, and runs pull them to what
they showed (Matheron's rule: a draw of the prior, moved by the posterior mean of what it missed). Whatever is priced under
draw d, at any time and in any company, therefore meets the same engine, LLM and device.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import blake2b
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.cases import MECHANISMS, OUTPUTS, PLANNED, WIDTHS, Case, Surprise
from solver.cost.support import main_format, shape
from solver.engines import engine_rules
from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

Floats = NDArray[np.float64]

#: Worlds that are drawn.
DRAWS = 256
#: What runs share; ``~`` marks a slope over the logarithm of the load of a device.
EFFECTS = (
    *("", "llm", "device", "engine", "weights", "burst", "release engine", "engine device", "engine llm"),
    *("llm device engine weights", "lengths engine", "kind", "size", "kind engine", "size engine", "kind llm", "size llm"),
    *("kind llm engine", "size llm engine device", "size kind llm engine device weights"),
    *("llm device engine weights lengths", "llm device engine weights lengths layout"),
    *("engine ~", "kind engine ~", "llm engine ~", "llm device engine weights lengths ~"),
    "llm device engine weights lengths layout ~",
)
#: Spread of what a mechanism may do that few runs or none had, by output: as wide as what releases of engines and groups of
#: runs are allowed (:mod:`solver.study.fidelity.fitting`); not fitted.
MECHANISM_SPREAD = (0.15, 0.05, 0.3)


def case(
    setup: Setup, llm: LLM, device: Device, release: str | None = None, lengths: str = PLANNED, **seen: Any
) -> Case:
    """The case of a replica of an LLM on a device, in the release of the engine that it names where nothing else is said.

    >>> import topologies
    >>> from solver.replica import Parallelism
    >>> found = case(Setup("decode", "vllm", Parallelism(2, 2)), LLM.from_config("qwen3-32b"), topologies.device("h200"))
    >>> found.kind, found.size, found.mechanisms
    ('tp', 4, 'pipeline handover')
    """
    degrees = setup.parallelism
    has = {
        "pipeline": degrees.pp > 1,
        "domains": (degrees.ep > 1 and setup.exchange_domains > 1) or setup.tensor_domains > 1,
        "handover": setup.role != "unified",
        "drafts": setup.draft_tokens > 0,
        "overlap": setup.overlap,
        "context": degrees.cp > 1,
    }
    return Case(
        engine=setup.engine,
        release=engine_rules(setup.engine, setup.engine_version).version if release is None else release,
        llm=shape(llm),
        device=device.name,
        weights=main_format(llm),
        kind=("dp " if degrees.dp > 1 else "") + ("ep" if degrees.ep > 1 else "tp"),
        layout=str(degrees),
        size=degrees.devices,
        mechanisms=" ".join(name for name in MECHANISMS if has[name]),
        lengths=lengths,
        vendor=device.vendor,
        **seen,
    )


@dataclass(frozen=True)
class Spreads:
    """Standard deviations of every effect and of the noise of a run, by output (3,).

    Attributes
    ----------
    widths: times as much that they are for cases of each of ``WIDTHS``; mechanisms that few runs had keep theirs.
    """

    effects: Mapping[str, Sequence[float]]
    noise: Sequence[float]
    widths: Mapping[str, Sequence[float]] = field(default_factory=lambda: dict.fromkeys(WIDTHS, (1.0,) * len(OUTPUTS)))

    def width(self, cases: Sequence[Case], output: int) -> Floats:
        """Times as much as others that the effects and the noise of some cases spread (C,)."""
        table = np.array([self.widths[name][output] for name in WIDTHS])
        return table[[case.width for case in cases]]

    def noise_of(self, cases: Sequence[Case], output: int) -> Floats:
        """Standard deviation of the noise of a run of each case (C,)."""
        return self.noise[output] * self.width(cases, output)

    def of(self, output: int) -> dict[str, float]:
        """Spread of every effect of one output."""
        wide = dict.fromkeys(MECHANISMS, MECHANISM_SPREAD[output])
        return {effect: values[output] for effect, values in self.effects.items()} | wide


#: Level of each effect (E, C), -1 for none, and by how much a case has it (E, C).
Places = tuple[NDArray[np.int32], Floats]


class Levels:
    """Numbers of the levels of some cases, so that two of the same level have the same number."""

    def __init__(self, effects: Sequence[str]) -> None:
        self.effects = tuple(effects)
        self.names: list[dict[str, int]] = [{} for _ in effects]

    def __call__(self, cases: Sequence[Case]) -> Places:
        """Level of each effect (E, C), -1 for none, and by how much each has it: 1, or its load (E, C)."""
        numbers = np.full((len(self.effects), len(cases)), -1, np.int32)
        weight = np.ones(numbers.shape)
        for place, effect in enumerate(self.effects):
            names = self.names[place]
            for position, case in enumerate(cases):
                level = case.level(effect)
                if level is not None:
                    numbers[place, position] = names.setdefault(level, len(names))
            if effect.endswith("~"):
                weight[place] = [case.load for case in cases]
        return numbers, weight


def covariance(one: Places, other: Places, variance: Sequence[float] | Floats) -> Floats:
    """Covariance of the effects of two lists of cases (C, C')."""
    found = np.zeros((one[0].shape[1], other[0].shape[1]))
    for size, here, there, by, also in zip(variance, one[0], other[0], one[1], other[1], strict=True):
        if size > 0 and here.size and there.size and here.max() >= 0 and there.max() >= 0:
            same = (here[:, None] == there) & (here >= 0)[:, None]
            plain = np.all(by == 1) and np.all(also == 1)
            found += same * np.float32(size) if plain else same * (size * by[:, None] * also)
    return found


class Surprises:
    """What is known of all effects once some runs were seen.

    Parameters
    ----------
    seen: surprises of runs.
    """

    def __init__(self, seen: Sequence[Surprise], spreads: Spreads) -> None:
        self.seen, self.spreads = tuple(seen), spreads
        self._levels = Levels([*spreads.effects, *MECHANISMS])
        self._numbers = self._levels([each.case for each in self.seen])
        self._known: dict[int, _Known] = {}
        self._llms = {each.case.llm for each in self.seen}

    def mean(self, cases: Sequence[Case]) -> Floats:
        """What runs say of the surprises of some cases (3, C); 0 for LLMs of which there is none."""
        there, met = self._levels(cases), self._met(cases)
        return np.stack([np.where(met, self._of(o).mean(_Asked(cases, there)), 0.0) for o in range(len(OUTPUTS))])

    def deviation(self, cases: Sequence[Case]) -> Floats:
        """Standard deviation of what the next run of each case will show (3, C)."""
        asked = _Asked(cases, self._levels(cases))
        return np.stack([self._of(output).deviation(asked) for output in range(len(OUTPUTS))])

    def covariance(self, cases: Sequence[Case], output: int) -> Floats:
        """Covariance of the surprises of some cases once the runs were seen, without the noise of a run (C, C)."""
        return self._of(output).covariance(_Asked(cases, self._levels(cases)))

    def draws(self, cases: Sequence[Case], output: str, noisy: bool = True) -> Floats:
        """One output of some cases in every world (C, DRAWS).

        Parameters
        ----------
        noisy: with what the next run of each has for reasons of its own.
        """
        asked, known, met = _Asked(cases, self._levels(cases)), self._of(OUTPUTS.index(output)), self._met(cases)
        found = known.prior(asked, noisy) + known.cross(asked) @ known.pulls
        return found if met.all() else found - np.where(met, 0.0, known.mean(asked))[:, None]

    def _met(self, cases: Sequence[Case]) -> NDArray[np.bool_]:
        """Whether any run was of the LLM of each case (C,)."""
        return np.array([each.llm in self._llms for each in cases], bool)

    def _of(self, output: int) -> _Known:
        if output not in self._known:
            self._known[output] = _Known(self, output)
        return self._known[output]


@dataclass(frozen=True)
class _Asked:
    """Cases and their levels."""

    cases: Sequence[Case]
    places: Places

    def __len__(self) -> int:
        return len(self.cases)


class _Known:
    """One output of all surprises."""

    def __init__(self, whole: Surprises, output: int) -> None:
        self.output, self.levels, self.spreads = output, whole._levels, whole.spreads
        spread = whole.spreads.of(output)
        self.sizes = np.array([spread[effect] for effect in self.levels.effects])
        #: Effects that are wider for some cases come first, mechanisms last.
        self.common = len(whole.spreads.effects)
        values = [getattr(each, OUTPUTS[output]) for each in whole.seen]
        there = np.array([value is not None for value in values], bool)
        self.measured = np.array([value for value in values if value is not None], float)
        cases = [each.case for each, taken in zip(whole.seen, there, strict=True) if taken]
        self.runs = np.array([each.runs for each, taken in zip(whole.seen, there, strict=True) if taken], float)
        self.seen = _Asked(cases, (whole._numbers[0][:, there], whole._numbers[1][:, there]))
        self.among = self.shared(self.seen, self.seen) + np.diag(self.noise(self.seen) ** 2 / self.runs)

    @cached_property
    def inverse(self) -> Floats:
        """Of the covariance of the runs (N, N)."""
        return np.asarray(np.linalg.inv(self.among))

    @cached_property
    def pull(self) -> Floats:
        """What moves the prior's mean to the runs (N,)."""
        return np.asarray(np.linalg.solve(self.among, self.measured))

    @cached_property
    def pulls(self) -> Floats:
        """What moves the prior's draws to the runs (N, DRAWS)."""
        names = [f"{self.output} run {case}" for case in self.seen.cases]
        noise = _normals(names) * (self.noise(self.seen) / np.sqrt(self.runs))[:, None]
        missed = self.measured[:, None] - self._effects(self.seen) - noise
        return np.asarray(np.linalg.solve(self.among, missed))

    def width(self, asked: _Asked) -> Floats:
        """Times as much as others that effects spread (C,)."""
        return self.spreads.width(asked.cases, self.output)

    def noise(self, asked: _Asked) -> Floats:
        """Standard deviation of the noise of a run (C,)."""
        return self.spreads.noise_of(asked.cases, self.output)

    def shared(self, one: _Asked, other: _Asked) -> Floats:
        """Covariance of the effects before any run was seen (C, C')."""
        common, rest = np.s_[: self.common], np.s_[self.common :]

        def part(some: slice) -> Floats:
            here, there = ((level[some], by[some]) for level, by in (one.places, other.places))
            return covariance(here, there, self.sizes[some] ** 2)

        return part(common) * self.width(one)[:, None] * self.width(other) + part(rest)

    def mean(self, asked: _Asked) -> Floats:
        return np.asarray(self.cross(asked) @ self.pull)

    def cross(self, asked: _Asked) -> Floats:
        return self.shared(asked, self.seen)

    def prior(self, asked: _Asked, noisy: bool) -> Floats:
        """Draws of some cases before any run was seen (C, DRAWS)."""
        effects = self._effects(asked)
        if not noisy:
            return effects
        return effects + _normals([f"{self.output} next {case}" for case in asked.cases]) * self.noise(asked)[:, None]

    def covariance(self, asked: _Asked) -> Floats:
        cross = self.cross(asked)
        return self.shared(asked, asked) - cross @ self.inverse @ cross.T

    def deviation(self, asked: _Asked) -> Floats:
        cross, (level, by) = self.cross(asked), asked.places
        variances = by**2 * (level >= 0) * self.sizes[:, None] ** 2
        alone = variances[: self.common].sum(axis=0) * self.width(asked) ** 2 + variances[self.common :].sum(axis=0)
        left = alone - np.einsum("ij,jk,ik->i", cross, self.inverse, cross, optimize=True)
        return np.asarray(np.sqrt(np.maximum(left, 0.0) + self.noise(asked) ** 2))

    def _effects(self, asked: _Asked) -> Floats:
        level, by = asked.places
        found, width = np.zeros((len(asked), DRAWS)), self.width(asked)
        for place, effect in enumerate(self.levels.effects):
            names = list(self.levels.names[place])
            used, where = np.unique(level[place], return_inverse=True)
            table = _normals([f"{self.output} {effect} {names[number]}" if number >= 0 else "" for number in used])
            table[used < 0] = 0.0
            wide = width if place < self.common else 1.0
            found += (self.sizes[place] * by[place] * wide)[:, None] * table[where]
        return found


def _normals(names: Sequence[str]) -> Floats:
    """Independent standard normal numbers for each name, the same whenever it is asked for (N, DRAWS)."""
    starts = [int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") for name in names]
    # SplitMix64, a counter for each name; then Box and Muller.
    steps = np.arange(1, DRAWS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = np.array(starts, np.uint64).reshape(-1, 1) + steps
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    even = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(float) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log1p(-even[:, 0::2])), 2 * np.pi * even[:, 1::2]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def parameter_normals(names: Sequence[str]) -> Floats:
    """Standard normal numbers by which every world moves what fits left open of calibrations (P, DRAWS)."""
    return _normals([f"parameter {name}" for name in names])


@cache
def packaged_spreads() -> Spreads:
    """Spreads of the effects between the runs that the packaged calibrations were judged by."""
    content = _packaged()
    effects, widths = ({name: tuple(row) for name, row in content[part].items()} for part in ("effects", "widths"))
    return Spreads(effects, tuple(content["noise"]), widths)


@cache
def packaged_surprises() -> tuple[Surprise, ...]:
    """Surprises of the runs that the packaged calibrations were fitted to, under these calibrations."""
    return tuple(Surprise.read(row, "surprises.json") for row in _packaged()["surprises"])


@cache
def _packaged() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath("surprises.json").read_text(encoding="utf-8"))
    return content


@cache
def known_surprises(learned: tuple[Surprise, ...] = ()) -> Surprises:
    """What is known after the packaged runs and some others."""
    return Surprises((*packaged_surprises(), *learned), packaged_spreads())


def bare(setup: Setup) -> Setup:
    """What of a setup decides how it surprises: its role and degrees, where it lies, what it drafts and overlaps."""
    return Setup(
        setup.role, setup.engine, setup.parallelism, setup.domains, draft_tokens=setup.draft_tokens, overlap=setup.overlap,
        engine_version=setup.engine_version,
    )  # fmt: skip


def learned_pace(llm: LLM, device: Device, learned: tuple[Surprise, ...], setups: Sequence[Setup]) -> Floats:
    """Times that replicas take of what is predicted, by what runs of one's own add to the packaged ones (S,)."""
    if not learned:
        return np.ones(len(setups))
    distinct = list(dict.fromkeys(map(bare, setups)))
    cases = [case(setup, llm, device) for setup in distinct]
    shift = known_surprises(learned).mean(cases)[0] - known_surprises().mean(cases)[0]
    places = {setup: place for place, setup in enumerate(distinct)}
    return np.asarray(np.exp(shift[[places[bare(setup)] for setup in setups]]))
