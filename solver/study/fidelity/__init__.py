"""How well the cost model predicts measured serving runs, and calibrations fitted to them."""

from __future__ import annotations

from solver.study.fidelity.accuracy import Accuracy
from solver.study.fidelity.predict import packaged_for, predict
from solver.study.fidelity.report import FidelityReport, report
from solver.study.fidelity.runs import MeasuredRun, Runs, read_runs

__all__ = ["Accuracy", "FidelityReport", "MeasuredRun", "Runs", "packaged_for", "predict", "read_runs", "report"]
