"""The report of ``rackplan fidelity``: errors overall and by group, decisions, worst runs, coverage of the intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solver.cost.calibration import Calibration
from solver.cost.surprises import packaged_spreads, packaged_surprises
from solver.study.fidelity.accuracy import Accuracy, Decisions, Floats, accuracy, decisions, group_of, once_each
from solver.study.fidelity.measured import Family
from solver.study.fidelity.predict import Predicted
from solver.study.fidelity.runs import MeasuredRun, Runs, measured
from solver.study.fidelity.surprises import Missed, open_parameters

QUANTITIES = ("tpot", "ttft", "throughput")
BY = ("llm", "device", "engine", "precision")
#: Further slices, by the part of a run that says to which it belongs.
SLICES = ("version", "statistic", "load", "layout")
#: Slices with fewer runs are listed without a claim about their coverage.
FEW = 20
_WORST = 10


@dataclass(frozen=True)
class FidelityReport:
    """Predicted against measured.

    Attributes
    ----------
    overall: errors by quantity (``tpot``, ``ttft``, ``throughput``, and ``tpot_p95`` where it was measured).
    by: errors of TPOT, TTFT and throughput by LLM, device, engine, precision and by group of all four.
    covered: share of the runs inside the 80 % interval, by quantity; covered_by: the same for every slice of ``by`` with
        enough runs.
    predicted: TPOT and TTFT [ms], throughput [tokens/s per device], by quantity (R,).
    """

    runs: Runs
    overall: Mapping[str, Accuracy]
    by: Mapping[str, Mapping[str, Mapping[str, Accuracy]]]
    choices: Decisions
    covered: Mapping[str, float]
    covered_by: Mapping[str, Mapping[str, Mapping[str, float]]]
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
            "covered_by": {kind: {label: dict(of) for label, of in groups.items()} for kind, groups in self.covered_by.items()},
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


def report(
    runs: Runs, found: Predicted, calibrations: Mapping[Family, Calibration], left_out: str | None = None
) -> FidelityReport:
    """Compare predictions with what was measured.

    Parameters
    ----------
    left_out: ``llm``, ``device`` or ``engine``: intervals then know nothing of how runs of the same one surprised.
    """
    figures = measured_by_quantity(runs)
    rate = found.tokens_per_s_per_device(runs)
    predicted = {
        "tpot": found.tpot_s * 1e3,
        "ttft": found.ttft_s * 1e3,
        "throughput": rate,
        "tpot_p95": found.tpot_p95_s * 1e3,
    }
    # Little's law is no measurement of throughput.
    derived = np.array([run.throughput_derived for run in runs.runs])
    figures["throughput"] = np.where(derived, np.nan, figures["throughput"])
    weights = once_each([run.configuration for run in runs.runs])
    groups = [group_of(run) for run in runs.runs]
    overall = {q: accuracy(predicted[q], figures[q], groups, weights) for q in predicted}
    if not overall["tpot_p95"].runs:
        del overall["tpot_p95"]
    open_variance = (open_parameters(runs, calibrations)[0] ** 2).sum(axis=1)
    missed = Missed.of(runs, found, open_variance, packaged_surprises(), packaged_spreads(), left_out)
    inside = {quantity: missed.inside(quantity) for quantity in QUANTITIES}
    return FidelityReport(
        runs=runs,
        overall=overall,
        by={kind: _by(runs, predicted, figures, kind, weights) for kind in (*BY, *SLICES, "group")},
        choices=decisions(runs.runs, found.tpot_s, rate, found.devices),
        covered={q: _share(inside[q]) for q in inside},
        covered_by={kind: _covered_by(runs, inside, kind) for kind in (*BY, *SLICES)},
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


def _labels(runs: Runs, kind: str) -> list[str]:
    """The slice of a kind that each run belongs to (R,)."""
    names = BY if kind == "group" else (kind,)
    return [" ".join(str(getattr(run, name)) for name in names) for run in runs.runs]


def _by(
    runs: Runs, predicted: Mapping[str, Floats], known: Mapping[str, Floats], kind: str, weights: Floats
) -> dict[str, dict[str, Accuracy]]:
    label = np.array(_labels(runs, kind))
    found = {}
    for name in sorted(set(label.tolist())):
        inside = label == name
        groups = [group_of(run) for run, taken in zip(runs.runs, inside, strict=True) if taken]
        found[name] = {
            q: accuracy(predicted[q][inside], known[q][inside], groups, weights[inside]) for q in QUANTITIES
        }
    return found


def _share(inside: Floats) -> float:
    there = inside[np.isfinite(inside)]
    return float(there.mean()) if len(there) else math.nan


def _covered_by(runs: Runs, inside: Mapping[str, Floats], kind: str) -> dict[str, dict[str, float]]:
    """Coverage of every slice with at least ``FEW`` measured runs, by quantity."""
    label = np.array(_labels(runs, kind))
    found: dict[str, dict[str, float]] = {}
    for name in sorted(set(label.tolist())):
        here = {q: values[label == name] for q, values in inside.items()}
        enough = {q: _share(values) for q, values in here.items() if np.isfinite(values).sum() >= FEW}
        if enough:
            found[name] = enough
    return found
