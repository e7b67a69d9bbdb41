"""Predictions of measured runs: unified ones all at once, disaggregated ones pool by pool."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import Calibration, packaged
from solver.study.fidelity.disaggregated_loop import DisaggregatedLoop
from solver.study.fidelity.measured import Family, PricedApart, PricedRuns
from solver.study.fidelity.runs import USUAL_ACCEPTANCE, MeasuredRun, Runs, served, served_apart, served_llm

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predicted:
    """Predictions of runs, in their order; arrays (R,).

    Attributes
    ----------
    tpot_s, ttft_s: latencies in the statistic that each run was measured in. ttft_mean_s: the mean of all.
    tpot_p95_s: NaN where only the mean is modelled.
    devices: of the whole deployment.
    """

    tpot_s: Floats
    ttft_s: Floats
    ttft_mean_s: Floats
    tpot_p95_s: Floats
    devices: Floats

    def tokens_per_s_per_device(self, runs: Runs) -> Floats:
        """Output tokens/s of a device by Little's law: concurrency / (TPOT + TTFT / output) / devices (R,)."""
        load = np.array([run.concurrency for run in runs.runs])
        output = np.array([run.output_tokens for run in runs.runs])
        rate: Floats = load / (self.tpot_s + self.ttft_mean_s / output) / self.devices
        return rate


def families(runs: Runs) -> tuple[Family, ...]:
    """Engines and generations of devices that occur, sorted."""
    return tuple(sorted({(run.engine, topologies.device(run.device).generation) for run in runs.runs}))


def packaged_for(runs: Runs) -> tuple[dict[Family, Calibration], tuple[str, ...]]:
    """The packaged calibration of every engine and generation, and why some of them extrapolate."""
    found = {family: packaged(*family) for family in families(runs)}
    return {family: cal for family, (cal, _) in found.items()}, tuple(doubt for _, doubt in found.values() if doubt)


def predict(runs: Runs, calibrations: Mapping[Family, Calibration]) -> Predicted:
    """Latencies of every run under given calibrations."""
    count = len(runs.runs)
    tpot, ttft, middle, slow = (np.full(count, math.nan) for _ in range(4))
    parts, where = served(runs)
    if parts:
        found = PricedRuns(parts).loop(calibrations)
        tpot[where], ttft[where], middle[where] = found.tpot_s, found.ttft_s, found.ttft_p50_s
    # Where a run does not say how many it drafted, every number is as likely: the geometric mean over them.
    logarithms, counted = np.zeros((4, count)), np.zeros(count)
    for slot, found_apart in _apart(runs, calibrations):
        latencies = found_apart.tpot_s, found_apart.tpot_p95_s, found_apart.ttft_s, found_apart.ttft_p50_s
        logarithms[:, slot] += np.log(latencies)
        counted[slot] += 1
    apart = counted > 0
    tpot[apart], slow[apart], ttft[apart], middle[apart] = np.exp(logarithms[:, apart] / counted[apart])
    devices = [
        run.devices(served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache)) for run in runs.runs
    ]
    medians = np.array([run.statistic == "median" for run in runs.runs])
    return Predicted(tpot, np.where(medians, middle, ttft), ttft, slow, np.array(devices, float))


def _apart(
    runs: Runs, calibrations: Mapping[Family, Calibration]
) -> Iterator[tuple[NDArray[np.intp], DisaggregatedLoop]]:
    """Disaggregated runs under every number of drafts that they may mean: where they stand, and their loop."""
    for depth in USUAL_ACCEPTANCE:

        def drafts(run: MeasuredRun, depth: int = depth) -> int | None:
            if run.draft_tokens == "auto":
                return depth
            return run.draft_tokens if depth == min(USUAL_ACCEPTANCE) else None

        parts, where = served_apart(runs, drafts)
        if parts:
            yield where, PricedApart(parts).loop(calibrations)
