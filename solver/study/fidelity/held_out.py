"""Predictions of runs by calibrations that never saw them: everything of one LLM, device or engine left out in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from solver.cost.calibration import Calibration
from solver.study.fidelity.fitting import Fitted, fit
from solver.study.fidelity.measured import Family, PricedRuns
from solver.study.fidelity.predict import Predicted, families, predict
from solver.study.fidelity.runs import MeasuredRun, Runs, architecture, measured, served

#: Parts of a random split.
FOLDS = 5
#: What can be left out, and the part of a run that says to which fold it belongs.
SPLITS: Mapping[str, Callable[[MeasuredRun], str]] = {
    "llm": lambda run: architecture(run.llm),
    "device": lambda run: run.device,
    "engine": lambda run: run.engine,
    "random": lambda run: str(int(hashlib.sha256(run.id.encode()).hexdigest(), 16) % FOLDS),
}


def fit_runs(runs: Runs, start: Mapping[Family, Calibration]) -> Fitted | None:
    """Calibrations fitted to the unified runs; None without any."""
    parts, where = served(runs)
    if not parts:
        return None
    tpot, ttft = (measured(runs, name)[where] / 1e3 for name in ("tpot_ms", "ttft_ms"))
    # Fits are of means: a median TTFT teaches nothing about them.
    ttft[[runs.runs[position].statistic == "median" for position in where]] = np.nan
    return fit(PricedRuns(parts), tpot, ttft, start)


def predict_held_out(
    runs: Runs, start: Mapping[Family, Calibration], split: str, told: Callable[[str], None] = lambda _: None
) -> Predicted:
    """Predict each fold of a split by calibrations fitted to the other folds.

    Parameters
    ----------
    start: calibrations whose kernels are kept; what serving runs say is forgotten first, since they may be these.
    told: is told the name of every fold before it is predicted.
    """
    start = {family: calibration.untouched() for family, calibration in start.items()}
    label = [SPLITS[split](run) for run in runs.runs]
    columns = {name: np.full(len(label), np.nan) for name in ("tpot_s", "ttft_s", "ttft_mean_s", "tpot_p95_s", "devices")}
    for fold in sorted(set(label)):
        told(fold)
        inside = np.array([name == fold for name in label])
        fitted = fit_runs(_part(runs, ~inside), start)
        known = {**start, **(fitted.calibrations if fitted else {})}
        here = _part(runs, inside)
        found = predict(here, {family: known[family] for family in families(here)})
        for name, column in columns.items():
            column[inside] = getattr(found, name)
    return Predicted(**columns)


def _part(runs: Runs, chosen: Sequence[bool] | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Runs:
    return replace(runs, runs=tuple(run for run, taken in zip(runs.runs, chosen, strict=True) if taken))
