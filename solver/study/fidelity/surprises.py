"""Surprises of measured runs, and how wide each of their effects spreads: what :mod:`solver.cost.surprises` reads."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import Calibration
from solver.cost.cases import MECHANISMS, OUTPUTS, WIDTHS, Case, Surprise
from solver.cost.pool.queueing import normal_quantile
from solver.cost.steps.slopes import WIDTH
from solver.cost.surprises import EFFECTS, MECHANISM_SPREAD, Levels, Spreads, Surprises, case, covariance
from solver.study.fidelity.measured import Family, PricedRuns
from solver.study.fidelity.predict import Predicted
from solver.study.fidelity.runs import MeasuredRun, Runs, measured, served, served_llm

Floats = NDArray[np.float64]

#: Spread around which those of the effects are expected before any run is seen, and by how many levels' worth.
EXPECTED, WORTH = 0.04, 2.0
#: Rounds of the fixed point of the spreads, and of that of the widths.
ROUNDS, WIDTH_ROUNDS = 30, 3
#: Half of an 80 % interval in standard deviations.
HALF_80 = normal_quantile(0.9)
#: Least and most that cases of a kind may be wider; LLMs with fewer runs do not count.
WIDENINGS, FEW_RUNS = (0.2, 5.0), 20


def case_of(run: MeasuredRun) -> Case:
    """Which surprises a run shares; of a disaggregated one, those of its decode pool."""
    device = topologies.device(run.device)
    llm = served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache)
    drafts = 1 if run.draft_tokens == "auto" else run.draft_tokens
    setup = run.pool_setups(llm, device, drafts)[1] if run.disaggregated else run.setup(llm)
    lengths = f"{run.prompt_tokens:.4g} {run.output_tokens:.4g}"
    load = round(math.log2(run.concurrency / run.devices(llm)) / 3 - 1, 3)
    return case(setup, llm, device, run.release, lengths, load=load, burst=int(run.burst_arrival > 0))


def surprises(runs: Runs, found: Predicted) -> list[Surprise]:
    """What every configuration showed beside its prediction, repeats by their medians."""
    table = each_surprise(runs, found)
    return [_of(case, table[:, places]) for case, places in repeats(runs, found).items()]


def repeats(runs: Runs, found: Predicted) -> dict[Case, list[int]]:
    """Positions of the runs of every case whose TPOT was measured and predicted."""
    alike: dict[Case, list[int]] = defaultdict(list)
    there = np.isfinite(measured(runs, "tpot_ms")) & np.isfinite(found.tpot_s)
    for place in np.flatnonzero(there):
        alike[case_of(runs.runs[place])].append(int(place))
    return alike


def each_surprise(runs: Runs, found: Predicted) -> Floats:
    """Surprises of every run by itself (3, R), NaN unmeasured."""
    rate = found.tokens_per_s_per_device(runs)
    tpot = np.log(measured(runs, "tpot_ms") / 1e3 / found.tpot_s)
    little = tpot + np.log(measured(runs, "output_tokens_per_s_per_device") / rate)
    ttft = np.log(measured(runs, "ttft_ms") / 1e3 / found.ttft_s) - tpot
    # Little's law is no measurement of throughput.
    derived = np.array([run.throughput_derived for run in runs.runs])
    return np.stack([tpot, np.where(derived, np.nan, little), ttft])


def open_parameters(runs: Runs, calibrations: Mapping[Family, Calibration]) -> tuple[Floats, tuple[str, ...]]:
    """How the normal numbers of every fitted number move the logarithm of each run's TPOT (R, P), and their names (P,); 0
    for disaggregated runs.

    ``A A^T`` is what fits left open of the predictions. A number that calibrations share is one.
    """
    found: dict[str, Floats] = {}
    parts, where = served(runs)
    if not parts:
        return np.zeros((len(runs.runs), 0)), ()
    priced = PricedRuns(parts)
    owners = [origin.family for origin in priced.origins]
    spreads = {family: cal.spread for family, cal in calibrations.items() if cal.spread is not None}
    paths = list(dict.fromkeys(path for spread in spreads.values() for path in spread.paths))
    names = list(dict.fromkeys(name for cal in calibrations.values() for name in cal.open_numbers))
    before = np.log(priced.loop(calibrations).tpot_s)
    for path in paths:
        moved = {
            family: cal.with_values({path: cal.value(path) * np.exp(WIDTH)}) if path in _paths(cal) else cal
            for family, cal in calibrations.items()
        }
        found[path] = (np.log(priced.loop(moved).tpot_s) - before) / WIDTH
    slopes = np.zeros((len(runs.runs), len(names)))
    for family, spread in spreads.items():
        mine = np.array([owner == family for owner in owners])
        if mine.any():
            own = np.stack([found[path][mine] for path in spread.paths], axis=1) @ spread.lower
            slopes[np.ix_(where[mine], [names.index(name) for name in calibrations[family].open_numbers])] = own
    return slopes, tuple(names)


def _paths(calibration: Calibration) -> tuple[str, ...]:
    return calibration.spread.paths if calibration.spread else ()


def _of(case: Case, figures: Floats) -> Surprise:
    def middle(values: Floats) -> float | None:
        there = values[np.isfinite(values)]
        return float(np.median(there)) if len(there) else None

    tpot, little, ttft = (middle(values) for values in figures)
    return Surprise(case, tpot, little, ttft, figures.shape[1])


def over_loads(seen: Sequence[Surprise]) -> list[Surprise]:
    """The same with the loads of each layout together, at their mean: a quarter of the rows."""
    alike: dict[tuple[Any, ...], list[Surprise]] = defaultdict(list)
    for each in seen:
        key = tuple(value for name, value in vars(each.case).items() if name != "load")
        alike[key].append(each)

    def together(members: Sequence[Surprise]) -> Surprise:
        figures = [[value for m in members if (value := getattr(m, name)) is not None] for name in OUTPUTS]
        tpot, little, ttft = (float(np.mean(values)) if values else None for values in figures)
        load = round(float(np.mean([m.case.load for m in members])), 3)
        return Surprise(replace(members[0].case, load=load), tpot, little, ttft, len(members))

    return [together(members) for members in alike.values()]


def spreads(seen: Sequence[Surprise], slopes: Floats) -> Spreads:
    """Spreads of all effects under which the surprises of runs are likeliest.

    The fixed point of minorise and maximise (Zhou, Hu, Zhou and Lange 2019) for variance components, with an inverse gamma
    prior on each.

    Parameters
    ----------
    slopes: of :func:`open_parameters`, by what was seen (N, P).
    """
    found = [_spread(seen, output, slopes @ slopes.T if output == "tpot" else None) for output in OUTPUTS]
    return Spreads(
        {effect: tuple(round(float(f[place]), 4) for f in found) for place, effect in enumerate(EFFECTS)},
        tuple(round(float(f[-1]), 4) for f in found),
    )


def _spread(seen: Sequence[Surprise], output: str, known: Floats | None) -> Floats:
    """Spreads of one output: of every effect, then of the noise (E + 1,).

    Parameters
    ----------
    known: covariance that is explained otherwise (N, N).
    """
    there = np.array([getattr(each, output) is not None for each in seen])
    rows = [each for each, taken in zip(seen, there, strict=True) if taken]
    value = np.array([getattr(each, output) for each in rows])
    runs = np.array([each.runs for each in rows], float)
    numbers, weight = Levels(EFFECTS)([each.case for each in rows])
    wide = Levels(MECHANISMS)([each.case for each in rows])
    settled = covariance(wide, wide, [MECHANISM_SPREAD[OUTPUTS.index(output)] ** 2] * len(MECHANISMS))
    if known is not None:
        settled = settled + known[np.ix_(there, there)]
    parts = [
        (np.where(n[:, None] == n, w[:, None] * w, 0.0)).astype(np.float32) for n, w in zip(numbers, weight, strict=True)
    ]
    variance = np.full(len(parts) + 1, EXPECTED**2)
    for _ in range(ROUNDS):
        whole = settled + np.diag(variance[-1] / runs)
        for part, size in zip(parts, variance, strict=False):
            whole += size * part
        inverse = np.linalg.inv(whole)
        pull = inverse @ value
        explained = np.array([*(pull @ (part @ pull) for part in parts), (pull**2 / runs).sum()])
        room = np.array([*(np.vdot(inverse, part) for part in parts), (np.diag(inverse) / runs).sum()])
        variance = variance * np.sqrt(
            (explained + WORTH * EXPECTED**2 / variance**2) / (room + WORTH / variance)
        )
    return np.asarray(np.sqrt(variance))


@dataclass(frozen=True)
class Missed:
    """How far measured runs lie from their predictions, and how far apart they may lie; arrays (R,), NaN unmeasured.

    Attributes
    ----------
    off: logarithm of measured over predicted, less what other runs say of it, by quantity.
    tpot, little, ttft: variance of each output.
    """

    off: Mapping[str, Floats]
    tpot: Floats
    little: Floats
    ttft: Floats

    @classmethod
    def of(
        cls,
        runs: Runs,
        found: Predicted,
        open_variance: Floats,
        seen: Sequence[Surprise],
        spreads: Spreads,
        left_out: str | None,
    ) -> Missed:
        """Of every run by what others showed.

        Parameters
        ----------
        open_variance: of the logarithm of each run's TPOT, by what fits left open (R,).
        left_out: ``llm``, ``device`` or ``engine``: runs of the same one are not among the others.
        """
        cases = [case_of(run) for run in runs.runs]
        folds = [getattr(case, left_out) if left_out in ("llm", "device", "engine") else "" for case in cases]
        mean, deviation = np.zeros((3, len(cases))), np.zeros((3, len(cases)))
        for fold in sorted(set(folds)):
            here = [place for place, name in enumerate(folds) if name == fold]
            others = [each for each in seen if not fold or getattr(each.case, str(left_out)) != fold]
            known, asked = Surprises(others, spreads), [cases[place] for place in here]
            mean[:, here], deviation[:, here] = known.mean(asked), known.deviation(asked)
        tpot, little, ttft = each_surprise(runs, found) - mean
        variance = deviation**2
        variance[0] += open_variance
        # What was measured of throughput is little less tpot, of the first token tpot and ttft.
        off = {"tpot": tpot, "ttft": tpot + ttft, "throughput": little - tpot}
        return cls(off, *variance)

    def variance(self, quantity: str) -> Floats:
        """Of the logarithm of a quantity (R,)."""
        return self.tpot if quantity == "tpot" else self.tpot + (self.ttft if quantity == "ttft" else self.little)

    def inside(self, quantity: str) -> Floats:
        """1 where a run lies inside its 80 % interval, 0 where outside, NaN unmeasured (R,)."""
        off = self.off[quantity]
        return np.where(np.isfinite(off), np.abs(off) <= HALF_80 * np.sqrt(self.variance(quantity)), np.nan)


def widths(runs: Runs, found: Predicted, open_variance: Floats, seen: Sequence[Surprise], spreads: Spreads) -> Spreads:
    """The same spreads, wider or narrower for each of ``WIDTHS``, so that 80 % intervals hold 80 % of the runs of the average
    LLM that was left out: a plan's LLM is one more of them, however often each was run."""
    cases = [case_of(run) for run in runs.runs]
    kind, llm = np.array([case.width for case in cases]), np.array([case.llm for case in cases])
    for _ in range(WIDTH_ROUNDS):
        told = Missed.of(runs, found, open_variance, seen, spreads, "llm")
        wider = {}
        for place, name in enumerate(WIDTHS):
            # What fits left open is settled; then effects of TPOT, then of what is measured beside it.
            factors, base, shared = np.ones(len(OUTPUTS)), open_variance, told.tpot - open_variance
            for output, quantity in ((0, "tpot"), (1, "throughput"), (2, "ttft")):
                own = shared if quantity == "tpot" else told.variance(quantity) - told.tpot
                here = llms_counted(llm, (kind == place) & np.isfinite(told.off[quantity]))
                factors[output] = widening(told.off[quantity], base, own, here)
                if quantity == "tpot":
                    base = open_variance + factors[0] ** 2 * shared
            wider[name] = np.clip(np.array(spreads.widths[name]) * factors, *WIDENINGS).round(3)
        spreads = replace(spreads, widths={name: tuple(each.tolist()) for name, each in wider.items()})
    return spreads


def llms_counted(llm: NDArray[np.str_], there: NDArray[np.bool_]) -> Floats:
    """How much each run counts (R,): every LLM with enough of them the same."""
    found = np.zeros(len(llm))
    for name in np.unique(llm[there]):
        own = there & (llm == name)
        if own.sum() >= FEW_RUNS:
            found[own] = 1 / own.sum()
    return found


def widening(off: Floats, settled: Floats, own: Floats, counted: Floats) -> float:
    """Factor on standard deviations with which 80 % intervals hold 80 %, beside a variance that is settled; 1 without runs."""
    there = counted > 0
    if not there.any():
        return 1.0
    tried = np.geomspace(*WIDENINGS, 200)
    held = [
        np.average(np.abs(off[there]) <= HALF_80 * np.sqrt(settled + factor**2 * own)[there], weights=counted[there])
        for factor in tried
    ]
    return float(tried[np.searchsorted(held, 0.8).clip(max=len(tried) - 1)])


def content(runs: Runs, within: Predicted, without: Predicted, calibrations: Mapping[Family, Calibration]) -> dict[str, Any]:
    """The packaged file.

    Parameters
    ----------
    within: predictions by the calibrations themselves, which say what is off in them. without: by fits that never saw the
        LLM, which say how wide effects spread.
    """
    slopes, _ = open_parameters(runs, calibrations)
    each = np.stack([slopes[places].mean(axis=0) for places in repeats(runs, without).values()])
    seen = over_loads(surprises(runs, within))
    found = widths(runs, without, (slopes**2).sum(axis=1), seen, spreads(surprises(runs, without), each))
    return {
        "effects": {effect: list(values) for effect, values in found.effects.items()},
        "noise": list(found.noise),
        "widths": {name: list(values) for name, values in found.widths.items()},
        "surprises": [each.plain() for each in seen],
    }
