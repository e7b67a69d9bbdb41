"""The report of ``rackplan fidelity``: errors overall and by group, decisions, worst runs, coverage of the intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import topologies
from solver.cost.calibration import Calibration
from solver.cost.pool.prediction import HALF_80
from solver.study.fidelity.accuracy import Accuracy, Decisions, Floats, accuracy, decisions, group_of
from solver.study.fidelity.measured import Family
from solver.study.fidelity.predict import Predicted
from solver.study.fidelity.runs import MeasuredRun, Runs, measured

QUANTITIES = ("tpot", "ttft", "throughput")
BY = ("llm", "device", "engine", "precision")
_WORST = 10


@dataclass(frozen=True)
class FidelityReport:
    """Predicted against measured.

    Attributes
    ----------
    overall: errors by quantity (``tpot``, ``ttft``, ``throughput``, and ``tpot_p95`` where it was measured).
    by: errors of TPOT, TTFT and throughput by LLM, device, engine, precision and by group of all four.
    covered: share of the runs inside the 80 % interval, by quantity.
    predicted: TPOT and TTFT [ms], throughput [tokens/s per device], by quantity (R,).
    """

    runs: Runs
    overall: Mapping[str, Accuracy]
    by: Mapping[str, Mapping[str, Mapping[str, Accuracy]]]
    choices: Decisions
    covered: Mapping[str, float]
    predicted: Mapping[str, Floats]

    def to_json(self) -> dict[str, Any]:
        """The contract's ``tpot``, ``ttft``, ``throughput`` and ``rows``, and everything else that was found."""
        names = ("tpot_ms", "ttft_ms", "output_tokens_per_s_per_device")
        rows = [
            {"id": run.id, **{name: float(self.predicted[q][i]) for name, q in zip(names, QUANTITIES, strict=True)}}
            for i, run in enumerate(self.runs.runs)
        ]
        return {
            **{quantity: found.to_json() for quantity, found in self.overall.items()},
            "decisions": self.choices.to_json(),
            "covered_by_80_percent_interval": dict(self.covered),
            "by": {
                kind: {label: {q: a.to_json() for q, a in of.items()} for label, of in groups.items()}
                for kind, groups in self.by.items()
            },
            "skipped": list(self.runs.skipped),
            "rows": rows,
        }

    def worst(self, quantity: str = "tpot") -> list[tuple[MeasuredRun, float]]:
        """Runs whose prediction is furthest off, with predicted / measured."""
        ratio = self.predicted[quantity] / measured_by_quantity(self.runs)[quantity]
        off = np.abs(np.log(ratio))
        order = np.argsort(np.where(np.isfinite(off), -off, 0.0), kind="stable")[:_WORST]
        return [(self.runs.runs[i], float(ratio[i])) for i in order if math.isfinite(off[i])]


def report(runs: Runs, found: Predicted, calibrations: Mapping[Family, Calibration]) -> FidelityReport:
    """Compare predictions with what was measured."""
    known = measured_by_quantity(runs)
    rate = found.tokens_per_s_per_device(runs)
    predicted = {
        "tpot": found.tpot_s * 1e3,
        "ttft": found.ttft_s * 1e3,
        "throughput": rate,
        "tpot_p95": found.tpot_p95_s * 1e3,
    }
    overall = {q: accuracy(predicted[q], known[q], [group_of(run) for run in runs.runs]) for q in predicted}
    if not overall["tpot_p95"].runs:
        del overall["tpot_p95"]
    return FidelityReport(
        runs=runs,
        overall=overall,
        by={kind: _by(runs, predicted, known, kind) for kind in (*BY, "group")},
        choices=decisions(runs.runs, found.tpot_s, rate, found.devices),
        covered={q: _covered(runs, predicted[q], known[q], calibrations, f"{q}_sigma") for q in ("tpot", "ttft")},
        predicted=predicted,
    )


def measured_by_quantity(runs: Runs) -> dict[str, Floats]:
    """Measured figures in the units of the report (R,), NaN where there are none."""
    names = {
        "tpot": "tpot_ms",
        "ttft": "ttft_ms",
        "throughput": "output_tokens_per_s_per_device",
        "tpot_p95": "tpot_p95_ms",
    }
    return {quantity: measured(runs, name) for quantity, name in names.items()}


def _by(
    runs: Runs, predicted: Mapping[str, Floats], known: Mapping[str, Floats], kind: str
) -> dict[str, dict[str, Accuracy]]:
    label = [" ".join(str(getattr(run, name)) for name in (BY if kind == "group" else (kind,))) for run in runs.runs]
    found = {}
    for name in sorted(set(label)):
        inside = np.array([other == name for other in label])
        groups = [group_of(run) for run, taken in zip(runs.runs, inside, strict=True) if taken]
        found[name] = {q: accuracy(predicted[q][inside], known[q][inside], groups) for q in QUANTITIES}
    return found


def _covered(
    runs: Runs, predicted: Floats, known: Floats, calibrations: Mapping[Family, Calibration], sigma: str
) -> float:
    """Share of the measured runs that lie inside the 80 % interval of their calibration."""
    width = np.array(
        [getattr(calibrations[run.engine, topologies.device(run.device).generation], sigma) for run in runs.runs]
    )
    off = np.abs(np.log(known / predicted))
    there = np.isfinite(off)
    return float(np.mean(off[there] <= HALF_80 * width[there])) if there.any() else math.nan
