"""Predictions of runs by calibrations that never saw them: everything of one LLM, device or engine left out in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from solver.cost.calibration import Calibration
from solver.study.fidelity.fitting import Fitted, RunsToFit, fit
from solver.study.fidelity.measured import Family, PricedApart, PricedRuns
from solver.study.fidelity.predict import Predicted, families, predict
from solver.study.fidelity.runs import MeasuredRun, Runs, architecture, measured, served, served_apart

#: Parts of a random split.
FOLDS = 5
#: What can be left out, and the part of a run that says to which fold it belongs.
SPLITS: Mapping[str, Callable[[MeasuredRun], str]] = {
    "llm": lambda run: architecture(run.llm),
    "device": lambda run: run.device,
    "engine": lambda run: run.engine,
    "role": lambda run: "disaggregated" if run.disaggregated else "unified",
    "random": lambda run: str(int(hashlib.sha256(run.id.encode()).hexdigest(), 16) % FOLDS),
}


def fit_runs(
    runs: Runs, start: Mapping[Family, Calibration], near: Mapping[str, float] | None = None
) -> Fitted | None:
    """Calibrations fitted to all runs whose number of drafts is known; None without any.

    Parameters
    ----------
    near: as :func:`solver.study.fidelity.fitting.fit` has it.
    """
    parts, where = served(runs)
    apart, others = served_apart(runs, lambda run: None if run.draft_tokens == "auto" else run.draft_tokens)
    if not parts and not apart:
        return None
    order = np.concatenate([where, others])
    tpot, ttft = (measured(runs, name)[order] / 1e3 for name in ("tpot_ms", "ttft_ms"))
    median = np.array([runs.runs[position].statistic == "median" for position in order])
    tables = PricedRuns(parts) if parts else None, PricedApart(apart) if apart else None
    return fit(RunsToFit(*tables, tpot, ttft, median), start, near)


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
    near: Mapping[str, float] = {}
    for fold in sorted(set(label)):
        told(fold)
        inside = np.array([name == fold for name in label])
        fitted = fit_runs(_part(runs, ~inside), start, near)
        near = fitted.moved if fitted else near
        known = {**start, **(fitted.calibrations if fitted else {})}
        here = _part(runs, inside)
        found = predict(here, {family: known[family] for family in families(here)})
        for name, column in columns.items():
            column[inside] = getattr(found, name)
    return Predicted(**columns)


def _part(runs: Runs, chosen: Sequence[bool] | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Runs:
    return replace(runs, runs=tuple(run for run, taken in zip(runs.runs, chosen, strict=True) if taken))
