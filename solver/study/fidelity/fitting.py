"""Fit calibrations to measured serving runs: a few parameters near what kernel timings say, the rest as measured.

Every fitted number is a logarithm with a prior: it starts from the calibration at hand and may leave it as far as its
``spread`` says (see :mod:`solver.cost.calibration`), so that a handful of runs moves little and a thousand move what they
know. Errors are relative, and an outlier counts like its absolute value (pseudo-Huber).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import UNKNOWN, Calibration, Spread, is_version, newest, owner, parameters
from solver.cost.pool.closed_loop import ROUNDS
from solver.cost.steps.speeds import kernel_format
from solver.cost.support import main_format, shape
from solver.engines import engine_rules
from solver.study.fidelity.measured import Family, Origin, PricedApart, PricedRuns

Floats = NDArray[np.float64]

#: Relative error of TPOT that a run has for reasons no parameter explains (engine version, clocks, harness).
NOISE = 0.12
#: Weight of TTFT's residuals beside TPOT's: schedulers and arrivals scatter it several times as much.
TTFT_WEIGHT = 0.12
#: Runs of one benchmark share their surprises: more than this many runs inform like this many.
INDEPENDENT_RUNS = 500
#: Spread of the logarithm of a release's overheads around those of the newest.
RELEASE_SPREAD = 0.15
#: Spread of the logarithm of the TPOT of a group of runs around what its engine and devices explain.
GROUP_SPREAD = 0.15
Group = tuple[str, ...]
_ROUNDS = 3
_STEPS = 8
#: Share of the loss that a step must gain for another to follow; width of the differences in spreads.
_ENOUGH, _WIDTH = 2e-3, 1e-2


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Attributes
    ----------
    calibrations: by engine and generation.
    undetermined: parameters that the runs left within a tenth of their prior spread, ``path (whose)``.
    tpot_s, ttft_s: predictions of the runs it was fitted to (R,).
    count: runs by engine and generation.
    moved: how many spreads every fitted number moved, by its label.
    """

    calibrations: Mapping[Family, Calibration]
    undetermined: tuple[str, ...]
    tpot_s: Floats
    ttft_s: Floats
    count: Mapping[Family, int]
    moved: Mapping[str, float]

    def labelled(self, source: str) -> list[Calibration]:
        """The calibrations, saying what they were fitted on and with the spread of their residuals."""
        return [
            replace(
                cal,
                name=f"{family[0]}-{family[1]}",
                fitted_on=f"{self.count[family]} runs of {source}; kernels as in {cal.name}",
            )
            for family, cal in sorted(self.calibrations.items())
        ]


@dataclass(frozen=True)
class _Knob:
    """One fitted number and the calibrations that share it.

    Attributes
    ----------
    release: which release's overheads it scales; empty for a parameter of the calibration.
    group: whose TPOT it scales, for reasons that no parameter explains; empty for all others.
    """

    path: str
    families: tuple[Family, ...]
    start: float
    spread: float
    release: str = ""
    group: Group = ()

    @property
    def label(self) -> str:
        shared = sorted({"-".join(family) for family in self.families})
        return f"{self.path} ({', '.join(shared)})"

    def value(self, moved: float) -> float:
        """The number when it is moved by so many spreads from its start, inside its physical range."""
        value = self.start * float(np.exp(np.clip(moved * self.spread, -5, 5)))
        known = parameters().get(self.path)
        return min(max(value, known["low"]), known["high"]) if known else value


@dataclass(frozen=True)
class RunsToFit:
    """Runs to fit to, unified and disaggregated, with their latencies [s]; NaN where one was not measured.

    Attributes
    ----------
    runs, apart: either may be missing, but not both.
    tpot_s, ttft_s: of the unified runs and then of the others (R,).
    median: whether ``ttft_s`` is the median of a run, else its mean (R,).
    """

    runs: PricedRuns | None
    apart: PricedApart | None
    tpot_s: Floats
    ttft_s: Floats
    median: NDArray[np.bool_]

    @property
    def origins(self) -> list[Origin]:
        """The part that each run belongs to (R,)."""
        return [origin for table in (self.runs, self.apart) if table is not None for origin in table.origins]

    @property
    def families(self) -> tuple[Family, ...]:
        """Engines and generations that occur, sorted."""
        return tuple(sorted({origin.family for origin in self.origins}))

    def predict(self, calibrations: Mapping[Family, Calibration], rounds: int = ROUNDS) -> tuple[Floats, Floats]:
        """TPOT and TTFT of every run in the statistic it was measured in [s] (R,)."""
        tpot, ttft, middle = [], [], []
        if self.runs is not None:
            found = self.runs.loop(calibrations, rounds)
            tpot, ttft, middle = [found.tpot_s], [found.ttft_s], [found.ttft_p50_s]
        if self.apart is not None:
            loop = self.apart.loop(calibrations)
            tpot, ttft, middle = [*tpot, loop.tpot_s], [*ttft, loop.ttft_s], [*middle, loop.ttft_p50_s]
        return np.concatenate(tpot), np.where(self.median, np.concatenate(middle), np.concatenate(ttft))


def fit(known: RunsToFit, start: Mapping[Family, Calibration], near: Mapping[str, float] | None = None) -> Fitted:
    """Calibrations that predict measured runs best, near the ones to start from.

    Parameters
    ----------
    start: calibration of every engine and generation of the runs.
    near: where a fit to much the same runs ended (``Fitted.moved``), from where this one sets out.
    """
    origins = known.origins
    knobs = _knobs(origins, {family: start[family] for family in known.families})
    weight = _weights(origins)
    scale = np.sqrt(min(1.0, INDEPENDENT_RUNS / len(origins))) / NOISE
    first, second = np.isfinite(known.tpot_s), np.isfinite(known.ttft_s)

    def residuals(x: Floats) -> Floats:
        """Of TPOT and of TTFT (2, R); 0 where one was not measured."""
        tpot, ttft = known.predict(_put(start, knobs, x), _ROUNDS)
        surprise = np.where(mine >= 0, x[mine] * GROUP_SPREAD, 0.0)
        off_tpot = np.where(first, np.log(tpot / np.where(first, known.tpot_s, 1.0)) + surprise, 0.0) * weight
        off_ttft = np.where(second, np.log(ttft / np.where(second, known.ttft_s, 1.0)), 0.0)
        off_ttft = np.clip(off_ttft, -2, 2) * weight
        return np.stack([_robust(off_tpot, 0.1) * scale, _robust(off_ttft, 0.3) * scale * TTFT_WEIGHT])

    owners = _owners(knobs, origins)
    mine = owners.get("group", np.full(len(origins), -1))
    moved = near or {}
    best, slope = _minimise(residuals, np.array([moved.get(knob.label, 0.0) for knob in knobs]), owners.values())
    covariance: Floats = np.asarray(np.linalg.inv(slope.T @ slope + np.eye(len(knobs))), float)
    calibrations = {
        family: replace(cal, release=_current(family, origins), spread=_spread(family, knobs, covariance))
        for family, cal in _put(start, knobs, best).items()
    }
    tpot, ttft = known.predict(calibrations)
    deviation = np.sqrt(np.diag(covariance))
    loose = tuple(knob.label for knob, left in zip(knobs, deviation, strict=True) if left > 0.9)
    count = Counter(origin.family for origin in origins)
    ended = {knob.label: float(value) for knob, value in zip(knobs, best, strict=True)}
    return Fitted(calibrations, loose, tpot, ttft, count, ended)


def _knobs(origins: Sequence[Origin], start: Mapping[Family, Calibration]) -> list[_Knob]:
    found = []
    used = _kernels(origins)
    for path, known in parameters().items():
        if known["typical"] is None:
            continue
        shared: dict[str, list[Family]] = {}
        for family in start:
            if path.endswith(".pace") and (family, path.removesuffix(".pace")) not in used:
                continue
            shared.setdefault(owner(path, *family), []).append(family)
        for families in shared.values():
            value = float(np.exp(np.mean([np.log(max(start[f].value(path), 1e-12)) for f in families])))
            if value > 1e-11:
                found.append(_Knob(path, tuple(families), value, known["spread"]))
    return [*found, *_release_knobs(origins), *_group_knobs(origins)]


def _group_knobs(origins: Sequence[Origin]) -> list[_Knob]:
    """Surprises of every group; where an engine ran only one on a generation, they are the engine's own."""
    groups = sorted({_group(origin) for origin in origins})
    members = Counter(group[:2] for group in groups)
    return [
        _Knob(f"group {' '.join(group)}", (), 1.0, GROUP_SPREAD, group=group) for group in groups if members[group[:2]] > 1
    ]


def _group(origin: Origin) -> Group:
    """Runs that share their surprises: how well an engine runs this LLM in this format on these devices."""
    return origin.engine, origin.device.generation, origin.llm.name, str(main_format(origin.llm))


def _kernels(origins: Sequence[Origin]) -> set[tuple[Family, str]]:
    """Families of kernels that some run used, with whose."""
    used = set()
    for origin in {id(o): o for o in origins}.values():
        precision = origin.llm.precision
        dense = {precision.attention, precision.attention_output, precision.dense, precision.shared}
        names = {f"gemm.{kernel_format(each)}" for each in dense} | {"attention", "prompt_attention"}
        if origin.llm.experts:
            names.add(f"experts.{kernel_format(precision.experts)}")
        used |= {(origin.family, name) for name in names}
    return used


def _release_knobs(origins: Sequence[Origin]) -> list[_Knob]:
    """A factor for every release of an engine on every generation but the one that the parameters are of."""
    releases = {(origin.family, origin.release or UNKNOWN) for origin in origins}
    return [
        _Knob(f"release {name}", (family,), 1.0, RELEASE_SPREAD, name)
        for family, name in sorted(releases)
        if name != _current(family, origins)
    ]


def _current(family: Family, origins: Sequence[Origin]) -> str:
    """The newest release that several LLMs were measured in, else the newest; none above the engine whose rules are known.

    What one LLM lost in a release may be its own (GLM-5's sparse attention under SGLang 0.5.12).
    """
    llms: dict[str, set[str]] = {}
    for origin in origins:
        if origin.family == family:
            llms.setdefault(origin.release or UNKNOWN, set()).add(shape(origin.llm))
    several = [release for release, names in llms.items() if len(names) > 1 and is_version(release)]
    return newest(several or llms, engine_rules(family[0]).version)


def _put(start: Mapping[Family, Calibration], knobs: Sequence[_Knob], x: Floats) -> dict[Family, Calibration]:
    """Calibrations with every knob moved by x times its spread."""
    values: dict[Family, dict[str, float]] = {}
    releases: dict[Family, list[tuple[str, float]]] = {}
    for knob, moved in zip(knobs, x.tolist(), strict=True):
        for family in knob.families:
            if knob.release:
                releases.setdefault(family, []).append((knob.release, knob.value(moved)))
            else:
                values.setdefault(family, {})[knob.path] = knob.value(moved)
    return {
        family: replace(start[family].with_values(changed), releases=tuple(releases.get(family, ())))
        for family, changed in values.items()
    }


def _spread(family: Family, knobs: Sequence[_Knob], covariance: Floats) -> Spread:
    """What a fit left open of the numbers of one calibration."""
    own = [place for place, knob in enumerate(knobs) if family in knob.families and not knob.release]
    widths = np.array([knobs[place].spread for place in own])
    factor = np.linalg.cholesky(covariance[np.ix_(own, own)] * np.outer(widths, widths))
    rows = tuple(tuple(float(f"{v:.4g}") for v in row[: place + 1]) for place, row in enumerate(factor))
    return Spread(tuple(knobs[place].path for place in own), rows)


def _weights(origins: Sequence[Origin]) -> Floats:
    """Runs of a much-measured LLM, device, engine and precision count less each (R,); 1 on average in square."""
    keys = [(o.llm.name, o.device.name, o.engine, str(o.llm.precision.experts)) for o in origins]
    count = Counter(keys)
    raw = np.array([count[key] ** -0.5 for key in keys])
    weights: Floats = np.sqrt(raw / raw.mean())
    return weights


def _owners(knobs: Sequence[_Knob], origins: Sequence[Origin]) -> dict[str, NDArray[np.intp]]:
    """Knobs that no run shares, together: for each such group the knob that moves each run, -1 for none (R,).

    Their columns of the Jacobian come from one prediction.
    """
    groups: dict[str, dict[object, int]] = {}
    for place, knob in enumerate(knobs):
        if knob.group:
            groups.setdefault("group", {})[knob.group] = place
        for family in knob.families:
            if knob.release:
                groups.setdefault("release", {})[family, knob.release] = place
            else:
                groups.setdefault(knob.path, {})[family] = place
    keys: dict[str, list[object]] = {
        "group": [_group(origin) for origin in origins],
        "release": [(origin.family, origin.release or UNKNOWN) for origin in origins],
    }
    families: list[object] = [origin.family for origin in origins]
    return {
        name: np.array([places.get(key, -1) for key in keys.get(name, families)]) for name, places in groups.items()
    }


def _robust(error: Floats, knee: float) -> Floats:
    """Signed root of the pseudo-Huber loss: linear in small errors, its square linear in large ones."""
    size: Floats = knee * np.sqrt(2 * (np.sqrt(1 + (error / knee) ** 2) - 1))
    return np.sign(error) * size


def _minimise(
    residuals: Callable[[Floats], Floats], x: Floats, owners: Collection[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """Least squares of residuals (2, R) and of x itself, by Levenberg and Marquardt with forward differences.

    Returns
    -------
    The solution, and the Jacobian of the residuals there (2 R, K).
    """
    now, damping = residuals(x), 1e-2
    slope = _jacobian(residuals, x, now, owners)
    for _ in range(_STEPS):
        normal = slope.T @ slope + np.eye(len(x))
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slope.T @ now.ravel() - x)
        there = residuals(x + step)
        before, after = np.sum(now**2) + x @ x, np.sum(there**2) + (x + step) @ (x + step)
        if after >= before:
            damping *= 10
            continue
        x, now, damping = x + step, there, damping / 5
        if before - after < _ENOUGH * after:
            break
        slope = _jacobian(residuals, x, now, owners)
    return x, slope


def _jacobian(
    residuals: Callable[[Floats], Floats], x: Floats, now: Floats, owners: Collection[NDArray[np.intp]]
) -> Floats:
    slope = np.zeros((*now.shape, len(x)))
    for places in owners:
        moved = x.copy()
        moved[np.unique(places[places >= 0])] += _WIDTH
        change = (residuals(moved) - now) / _WIDTH
        rows = np.flatnonzero(places >= 0)
        slope[:, rows, places[rows]] = change[:, rows]
    return slope.reshape(-1, len(x))
