"""Fit calibrations to measured serving runs: a few parameters near what kernel timings say, the rest as measured.

Every fitted number is a logarithm with a prior: it starts from the calibration at hand and may leave it as far as its
``spread`` says (see :mod:`solver.cost.calibration`), so that a handful of runs moves little and a thousand move what they
know. Errors are relative, and an outlier counts like its absolute value (pseudo-Huber).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration, parameters
from solver.study.fidelity.measured import Family, PricedRuns

Floats = NDArray[np.float64]

#: Relative error of TPOT that a run has for reasons no parameter explains (engine version, clocks, harness).
NOISE = 0.12
#: Weight of TTFT's residuals beside TPOT's: schedulers and arrivals scatter it several times as much.
TTFT_WEIGHT = 0.25
#: Runs of one benchmark share their surprises: more than this many runs inform like this many.
INDEPENDENT_RUNS = 120
_ROUNDS = 3
_STEPS = 8


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Attributes
    ----------
    calibrations: by engine and generation.
    undetermined: parameters that the runs left within a tenth of their prior spread, ``path (whose)``.
    tpot_s, ttft_s: predictions of the runs it was fitted to (R,).
    count: runs by engine and generation.
    """

    calibrations: Mapping[Family, Calibration]
    undetermined: tuple[str, ...]
    tpot_s: Floats
    ttft_s: Floats
    count: Mapping[Family, int]

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
    """One fitted number and the calibrations that share it."""

    path: str
    families: tuple[Family, ...]
    start: float
    spread: float

    @property
    def label(self) -> str:
        shared = sorted({"-".join(family) for family in self.families})
        return f"{self.path} ({', '.join(shared)})"


def fit(table: PricedRuns, tpot_s: Floats, ttft_s: Floats, start: Mapping[Family, Calibration]) -> Fitted:
    """Calibrations that predict measured runs best, near the ones to start from.

    Parameters
    ----------
    tpot_s, ttft_s: measured latencies (R,) [s]; NaN where one was not measured.
    start: calibration of every engine and generation in the table.
    """
    knobs = _knobs({family: start[family] for family in table.families})
    weight = _weights(table)
    scale = np.sqrt(min(1.0, INDEPENDENT_RUNS / len(table))) / NOISE
    first, second = np.isfinite(tpot_s), np.isfinite(ttft_s)

    def residuals(x: Floats) -> Floats:
        tpot, ttft = table.predict(_put(start, table, knobs, x), _ROUNDS)
        off_tpot = (np.log(tpot[first] / tpot_s[first])) * weight[first]
        off_ttft = np.clip(np.log(ttft[second] / ttft_s[second]), -2, 2) * weight[second]
        return np.concatenate([_robust(off_tpot, 0.1) * scale, _robust(off_ttft, 0.3) * scale * TTFT_WEIGHT, x])

    best, slope = _minimise(residuals, np.zeros(len(knobs)))
    deviation = np.sqrt(np.diag(np.linalg.inv(slope.T @ slope)))
    calibrations = _put(start, table, knobs, best)
    tpot, ttft = table.predict(calibrations)
    loose = tuple(knob.label for knob, left in zip(knobs, deviation, strict=True) if left > 0.9)
    count = Counter(part.family for part in table.parts for _ in part.setups)
    return Fitted(calibrations, loose, tpot, ttft, count)


def _knobs(start: Mapping[Family, Calibration]) -> list[_Knob]:
    found = []
    for path, known in parameters().items():
        if known["typical"] is None:
            continue
        shared: dict[object, list[Family]] = {}
        for family in start:
            owner = {"all": "all", "engine": family[0], "generation": family[1]}.get(known["tied"], family)
            shared.setdefault(owner, []).append(family)
        for families in shared.values():
            value = float(np.exp(np.mean([np.log(max(start[f].value(path), 1e-12)) for f in families])))
            if value > 1e-11:
                found.append(_Knob(path, tuple(families), value, known["spread"]))
    return found


def _put(start: Mapping[Family, Calibration], table: PricedRuns, knobs: list[_Knob], x: Floats) -> dict[Family, Calibration]:
    """Calibrations with every knob moved by x times its spread, inside its physical range."""
    values: dict[Family, dict[str, float]] = {family: {} for family in table.families}
    known = parameters()
    for knob, moved in zip(knobs, x.tolist(), strict=True):
        value = knob.start * float(np.exp(np.clip(moved * knob.spread, -5, 5)))
        for family in knob.families:
            values[family][knob.path] = min(max(value, known[knob.path]["low"]), known[knob.path]["high"])
    return {family: start[family].with_values(changed) for family, changed in values.items()}


def _weights(table: PricedRuns) -> Floats:
    """Runs of a much-measured LLM, device, engine and precision count less each (R,); 1 on average in square."""
    keys = [(p.llm.name, p.device.name, p.engine, str(p.llm.precision.experts)) for p in table.parts for _ in p.setups]
    count = Counter(keys)
    raw = np.array([count[key] ** -0.5 for key in keys])
    weights: Floats = np.sqrt(raw / raw.mean())
    return weights


def _robust(error: Floats, knee: float) -> Floats:
    """Signed root of the pseudo-Huber loss: linear in small errors, its square linear in large ones."""
    size: Floats = knee * np.sqrt(2 * (np.sqrt(1 + (error / knee) ** 2) - 1))
    return np.sign(error) * size


def _minimise(residuals: Callable[[Floats], Floats], x: Floats) -> tuple[Floats, Floats]:
    """Least squares by Levenberg and Marquardt with forward differences; the solution and the Jacobian there."""
    now, damping, width = residuals(x), 1e-2, 1e-2
    slope = _jacobian(residuals, x, now, width)
    for _ in range(_STEPS):
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slope.T @ now)
        there = residuals(x + step)
        gain = now @ now - there @ there
        if gain <= 0:
            damping *= 10
            continue
        x, now, damping = x + step, there, damping / 5
        slope = _jacobian(residuals, x, now, width)
        if gain < 1e-3 * (now @ now):
            break
    return x, slope


def _jacobian(residuals: Callable[[Floats], Floats], x: Floats, now: Floats, width: float) -> Floats:
    columns = []
    for index in range(len(x)):
        moved = x.copy()
        moved[index] += width
        columns.append((residuals(moved) - now) / width)
    return np.stack(columns, axis=1)
