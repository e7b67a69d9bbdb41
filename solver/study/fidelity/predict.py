"""Predictions of measured runs: unified ones all at once, disaggregated ones pool by pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import Calibration, packaged
from solver.cost.steps.replicas import Replicas
from solver.replica import Setup
from solver.study.fidelity.disaggregated_loop import disaggregated_loop
from solver.study.fidelity.measured import Family, PricedRuns
from solver.study.fidelity.runs import USUAL_ACCEPTANCE, MeasuredRun, Runs, served, served_llm

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
    for position, run in enumerate(runs.runs):
        if run.disaggregated:
            tpot[position], slow[position], ttft[position] = _disaggregated(run, calibrations)
            middle[position] = ttft[position]
    devices = [
        run.devices(served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache)) for run in runs.runs
    ]
    medians = np.array([run.statistic == "median" for run in runs.runs])
    return Predicted(tpot, np.where(medians, middle, ttft), ttft, slow, np.array(devices, float))


def _disaggregated(run: MeasuredRun, calibrations: Mapping[Family, Calibration]) -> tuple[float, float, float]:
    if run.draft_tokens == "auto":
        # Where a run does not say how many it drafted, the fastest is meant, as its operator would choose.
        return min(_with_drafts(run, calibrations, drafts, gain) for drafts, gain in USUAL_ACCEPTANCE.items())
    return _with_drafts(run, calibrations, run.draft_tokens, run.accepted)


def _with_drafts(
    run: MeasuredRun, calibrations: Mapping[Family, Calibration], drafts: int, accepted: float
) -> tuple[float, float, float]:
    device = topologies.device(run.device)
    llm = served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache)
    calibration = calibrations[run.engine, device.generation]

    def priced(setup: Setup, gain: float) -> Replicas:
        return Replicas.of(llm, device, calibration, [setup], accepted=gain)

    prefill, decode = run.pool_setups(llm, device, drafts)
    found = disaggregated_loop(
        priced(prefill, 1.0),
        priced(decode, accepted),
        (run.prefill_replicas, run.decode_replicas),
        run.concurrency,
        run.prompt_tokens,
        run.output_tokens,
    )
    return found.tpot_s, found.tpot_p95_s, found.ttft_s
