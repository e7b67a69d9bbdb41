"""Runs of one's own taken into the calibrations: a Gaussian update of fitted numbers and surprises together.

What a run shows beside its prediction is what the fit left open of the calibration's numbers, its surprises, and noise. All
are normal, so one linear system divides what was seen among them by how wide each was: a few runs of one LLM on one device
mostly move the surprises that these share, many runs of different ones move the numbers. Packaged runs stay in it as what is
known before; runs of one's own are kept with the calibrations, and all of them are taken together each time, so that order
does not matter and nothing is forgotten. Left out: that surprises and numbers are correlated once the runs were seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import Calibration, Spread, packaged_calibrations, parameters
from solver.cost.cases import OUTPUTS, Surprise
from solver.cost.steps.replicas import Replicas
from solver.cost.surprises import known_surprises, packaged_spreads
from solver.errors import BadInput
from solver.study.fidelity.measured import Family
from solver.study.fidelity.predict import families, packaged_for, predict
from solver.study.fidelity.runs import MeasuredRun, Runs, recognised
from solver.study.fidelity.surprises import case_of, each_surprise, open_parameters, repeats, surprises
from solver.study.learning.logs import EngineLog
from solver.workload.fields import read_record

Floats = NDArray[np.float64]

#: Standard deviations by which a run may miss what is known before it is questioned, and the share of a logarithm by which
#: it must: a hundredth of the runs that nothing is wrong with are farther off than 2.6.
QUESTIONED, FAR = 3.5, 0.25
#: Tokens at which the size of a KV cache is compared.
TOKENS = 65536.0
#: How far off the HBM that a runtime takes may be before any log is seen, and what one log scatters by [bytes].
RUNTIME_SPREAD, LOG_NOISE = 1.5e9, 0.5e9


@dataclass(frozen=True)
class Contradiction:
    """A run that contradicts what is known: by how many standard deviations, and which figure."""

    run: MeasuredRun
    output: str
    off: float
    deviations: float

    def __str__(self) -> str:
        what = {"tpot": "TPOT", "little": "TPOT times throughput (Little's law)", "ttft": "TTFT over TPOT"}[self.output]
        times = f"{math.exp(self.off):.3g} times what is known"
        return f"{self.run.id}: {what} is {times}, {self.deviations:.1f} standard deviations off"


@dataclass(frozen=True)
class Learned:
    """What some runs taught.

    Attributes
    ----------
    calibrations: all, by engine and generation. runs: that they rest on beside the packaged ones.
    questioned: runs that contradict what is known. moved: fitted numbers by label, with the factor, that moved by over 2 %.
    shifts: by what the runs were of, the factor by which its predictions moved, and their standard deviations before and
        after.
    memory: what logs say of KV caches, a sentence each.
    """

    calibrations: Mapping[Family, Calibration]
    runs: tuple[MeasuredRun, ...]
    questioned: tuple[Contradiction, ...]
    moved: Mapping[str, float]
    shifts: Mapping[str, tuple[float, float, float]]
    memory: tuple[str, ...]


def learn(
    runs: Runs, start: Mapping[Family, Calibration], logs: Sequence[EngineLog] = (), believe: bool = False
) -> Learned:
    """Calibrations that know some runs too.

    Parameters
    ----------
    start: that know none of one's own; packaged ones stand in where an engine and generation is missing.
    believe: take runs that contradict everything as well.
    """
    borrowed = {
        family: replace(cal, engine=family[0], generation=family[1]) for family, cal in packaged_for(runs)[0].items()
    }
    known = {**packaged_calibrations(), **borrowed, **start}
    known, memory = _with_logs(known, logs)
    if not runs.runs:
        return Learned(known, (), (), {}, {}, memory)
    questioned = _questioned(runs, known)
    doubted = {question.run.id for question in questioned} if not believe else set()
    kept = replace(runs, runs=tuple(run for run in runs.runs if run.id not in doubted))
    if not kept.runs:
        return Learned(known, (), questioned, {}, {}, memory)
    before = _Seen.of(kept, known)
    numbers = _moved(known, before)
    found = predict(kept, {family: numbers[family] for family in families(kept)})
    learned = tuple(surprises(kept, found))
    after = {family: replace(cal, learned=learned) for family, cal in numbers.items()}
    moved = {
        f"{path} ({'-'.join(family)})": factor
        for family, cal in numbers.items()
        for path in (cal.spread.paths if cal.spread else ())
        if abs(math.log(factor := cal.value(path) / known[family].value(path))) > 0.02
    }
    return Learned(after, kept.runs, questioned, moved, _shifts(kept, known, numbers, learned), memory)


@dataclass(frozen=True)
class _Seen:
    """What runs showed: surprises, and how each hangs on the fitted numbers (N, P) of these names."""

    seen: tuple[Surprise, ...]
    slopes: Floats
    names: tuple[str, ...]

    @classmethod
    def of(cls, runs: Runs, known: Mapping[Family, Calibration]) -> _Seen:
        own = {family: known[family] for family in families(runs)}
        found = predict(runs, own)
        each, names = open_parameters(runs, own)
        slopes = np.stack([each[places].mean(axis=0) for places in repeats(runs, found).values()])
        return cls(tuple(surprises(runs, found)), slopes, names)

    def missed(self, output: str) -> tuple[Floats, Floats]:
        """By how much each missed what is known, and the covariance of that (N, N); NaN where it was not measured."""
        cases, place = [each.case for each in self.seen], OUTPUTS.index(output)
        values = np.array([math.nan if (v := getattr(each, output)) is None else v for each in self.seen])
        before, runs = known_surprises(), np.array([each.runs for each in self.seen], float)
        among = before.covariance(cases, place) + np.diag(packaged_spreads().noise_of(cases, place) ** 2 / runs)
        if output == "tpot":
            among = among + self.slopes @ self.slopes.T
        return values - before.mean(cases)[place], among


def _questioned(runs: Runs, known: Mapping[Family, Calibration]) -> tuple[Contradiction, ...]:
    """Runs that miss what is known by more than chance allows, each by itself: repeats may contradict each other too."""
    own = {family: known[family] for family in families(runs)}
    found, before = each_surprise(runs, predict(runs, own)), known_surprises()
    cases = [case_of(run) for run in runs.runs]
    deviation = before.deviation(cases)
    deviation[0] = np.hypot(deviation[0], np.linalg.norm(open_parameters(runs, own)[0], axis=1))
    off = np.nan_to_num(found - before.mean(cases))
    far = np.where(np.abs(off) > FAR, np.abs(off) / deviation, 0.0)
    worst = far.argmax(axis=0)
    return tuple(
        Contradiction(runs.runs[place], OUTPUTS[worst[place]], float(off[worst[place], place]), float(far[worst[place], place]))
        for place in np.flatnonzero(far.max(axis=0) > QUESTIONED)
    )


def _moved(known: Mapping[Family, Calibration], seen: _Seen) -> dict[Family, Calibration]:
    """Calibrations with their fitted numbers where the runs leave them, and as open as they leave them."""
    off, among = seen.missed("tpot")
    pull = np.linalg.solve(among, np.column_stack([off, seen.slopes]))
    middle, left = seen.slopes.T @ pull[:, 0], np.eye(len(seen.names)) - seen.slopes.T @ pull[:, 1:]
    return {family: _with_numbers(cal, seen.names, middle, left) for family, cal in known.items()}


def _with_numbers(calibration: Calibration, names: Sequence[str], middle: Floats, left: Floats) -> Calibration:
    """A calibration whose normal numbers have this mean and covariance, by name; others are as before."""
    spread = calibration.spread
    if spread is None:
        return calibration
    own = calibration.open_numbers
    shared = [name for name in own if name in names]
    if not shared:
        return calibration
    here, there = [own.index(name) for name in shared], [names.index(name) for name in shared]
    mean, covariance = np.zeros(len(spread.paths)), np.eye(len(spread.paths))
    mean[here] = middle[there]
    covariance[np.ix_(here, here)] = left[np.ix_(there, there)]
    limits, logs = parameters(), spread.lower @ mean
    values = {
        path: min(max(calibration.value(path) * math.exp(log), limits[path]["low"]), limits[path]["high"])
        for path, log in zip(spread.paths, logs.tolist(), strict=True)
    }
    factor = np.linalg.cholesky(spread.lower @ covariance @ spread.lower.T + 1e-12 * np.eye(len(mean)))
    rows = tuple(tuple(float(f"{v:.4g}") for v in row[: place + 1]) for place, row in enumerate(factor))
    return replace(calibration.with_values(values), spread=Spread(spread.paths, rows))


def _shifts(
    runs: Runs, known: Mapping[Family, Calibration], numbers: Mapping[Family, Calibration], learned: tuple[Surprise, ...]
) -> dict[str, tuple[float, float, float]]:
    """What changed in the predictions of what was measured: TPOT's factor, and its standard deviation before and after."""
    mine = families(runs)
    found = [predict(runs, {family: table[family] for family in mine}).tpot_s for table in (known, numbers)]
    cases = [case_of(run) for run in runs.runs]
    before, after = known_surprises(), known_surprises(learned)
    factor = np.exp(after.mean(cases)[0] - before.mean(cases)[0]) * found[1] / found[0]
    open_ = [
        np.sqrt(each.deviation(cases)[0] ** 2 + (open_parameters(runs, {f: t[f] for f in mine})[0] ** 2).sum(axis=1))
        for each, t in ((before, known), (after, numbers))
    ]
    labels: dict[str, list[int]] = {}
    for place, run in enumerate(runs.runs):
        shape = run.setup(run.served).parallelism if not run.disaggregated else "disaggregated"
        labels.setdefault(f"{run.llm} on {run.device} under {run.engine}, {shape}", []).append(place)
    return {
        label: (
            float(np.exp(np.nanmean(np.log(factor[places])))),
            float(np.mean(open_[0][places])),
            float(np.mean(open_[1][places])),
        )
        for label, places in labels.items()
    }


def _with_logs(
    known: Mapping[Family, Calibration], logs: Sequence[EngineLog]
) -> tuple[dict[Family, Calibration], tuple[str, ...]]:
    """Calibrations whose runtime takes as much HBM as logged KV caches leave, and what the logs say."""
    told, found = [], dict(known)
    missing: dict[Family, list[float]] = {}
    for log in logs:
        content = {"prompt_tokens": 1, "output_tokens": 1, "concurrency": 1, **log.replica}
        run = recognised(read_record(MeasuredRun, content, log.source))
        llm, device = run.served, topologies.device(run.device)
        family = run.engine, device.generation
        version = f" of version {log.version}" if log.version else ""
        if log.kv_tokens is None:
            told.append(f"{log.source}: a log{version} that does not say how many tokens the KV cache holds")
            continue
        if family not in known:
            raise BadInput(f"{log.source}: {run.engine} has no calibration on {device.generation} devices")
        ledger = Replicas.of(llm, device, known[family], [run.setup(llm)]).ledger
        size = ledger.kv_bytes(np.array([TOKENS]))[0] / TOKENS
        stage = int(np.argmin(ledger.kv_room[0] / np.maximum(size, 1e-9)))
        predicted = float(ledger.kv_room[0, stage] / size[stage])
        told.append(
            f"{log.source}: {log.kv_tokens:,} tokens of KV cache{version}; {predicted:,.0f} were predicted "
            f"({log.kv_tokens / predicted - 1:+.1%})"
        )
        missing.setdefault(family, []).append((predicted - log.kv_tokens) * float(size[stage]))
    for owner, bytes_ in missing.items():
        part = len(bytes_) * RUNTIME_SPREAD**2 / (len(bytes_) * RUNTIME_SPREAD**2 + LOG_NOISE**2)
        taken = max(found[owner].runtime_bytes + part * float(np.mean(bytes_)), 0.0)
        found[owner] = found[owner].with_values({"runtime_bytes": taken})
    return found, tuple(told)
