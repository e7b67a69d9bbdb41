"""Choosing layouts, and runs to measure, under draws: recorded runs are the world, each LLM left out in turn.

``CHOICE_CACHE=FILE.npz pytest tests/benchmarks/choice.py -m benchmark -s -n 0`` beside ``../shared``: some minutes for the
fits, which the cache keeps, and some for the decisions.

A group is one LLM, device, engine, format and request shape; a decision is a group and a bound on TPOT; layouts differ in
degrees. The chosen layout runs at its best recorded load within the bound: regret is what that serves less than the best
layout's. Every LLM is predicted by a fit without it, with spreads of surprises fitted without it, in two states: nothing of it
seen, and its other groups seen. Bounds that the choice never meets (regret 1) are reported apart.
"""

from __future__ import annotations

import csv
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solver.cost.cases import Surprise
from solver.cost.surprises import Surprises, packaged_spreads
from solver.study.fidelity import surprises as fitting
from solver.study.fidelity.held_out import SPLITS, fit_runs
from solver.study.fidelity.predict import packaged_for, predict
from solver.study.fidelity.runs import Runs, read_runs
from solver.study.fidelity.surprises import case_of, each_surprise, open_parameters, spreads

SHARED = Path(__file__).parents[3] / "shared" / "data" / "measured"
FILES = ("serving.csv", "serving_amd.csv", "runs_2026_11.json")
BOUNDS_MS, DRAWS, SEEDS, SHOWN = (8, 12, 16, 24, 32, 48), 256, 6, 12
#: Rounds of the spreads' fixed point: a third of what the packaged ones have.
ROUNDS = 10
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Folds:
    """Surprises of TPOT and of TPOT times rate of every run under the fit without each LLM (F, 2, R), what these fits left
    open of TPOT (F, R, P), and predictions of TPOT [ms] and output tokens/s of a device (F, 2, R)."""

    names: list[str]
    surprises: Floats
    open_: Floats
    predicted: Floats


def folds(runs: Runs, count: int, cache: Path | None) -> Folds:
    """Fits without each LLM of the first ``count`` runs."""
    labels = [SPLITS["llm"](run) for run in runs.runs]
    if cache is not None and cache.exists():
        found = np.load(cache)
        return Folds(found["names"].tolist(), *(found[name] for name in ("surprises", "open_", "predicted")))
    start = {family: cal.untouched() for family, cal in packaged_for(runs)[0].items()}
    names = sorted(set(labels[:count]))
    rows, near = [], {}
    for name in names:
        seen = replace(runs, runs=tuple(run for run, label in zip(runs.runs, labels, strict=True) if label != name))
        fitted = fit_runs(seen, start, near)
        assert fitted is not None
        near = fitted.moved
        known = {**start, **fitted.calibrations}
        there = predict(runs, known)
        figures = np.stack([there.tpot_s * 1e3, there.tokens_per_s_per_device(runs)])
        slopes, _ = open_parameters(runs, known)
        rows.append((each_surprise(runs, there)[:2], np.pad(slopes, ((0, 0), (0, 120 - slopes.shape[1]))), figures))
        print(f"fitted without {name}", flush=True)
    found = Folds(names, *(np.stack(part) for part in zip(*rows, strict=True)))
    if cache is not None:
        np.savez_compressed(cache, names=names, surprises=found.surprises, open_=found.open_, predicted=found.predicted)
    return found


@dataclass
class Space:
    """The recorded points of one group, and what is known of their surprises: mean and covariance by output (2, ...)."""

    llm: str
    tpot: Floats
    rate: Floats
    predicted: Floats
    aic: Floats
    load: Floats
    layout: Floats
    mean: Floats
    covariance: Floats
    noise: Floats
    error: float = 0.0

    @property
    def layouts(self) -> int:
        return int(self.layout.max()) + 1

    def curves(self, off: Floats) -> tuple[Floats, Floats]:
        """TPOT and rate under surprises (2, ..., points)."""
        return self.predicted[0] * np.exp(off[0]), self.predicted[1] * np.exp(off[1] - off[0])

    def best(self, tpot: Floats, rate: Floats, bound: float) -> Floats:
        """Best rate of each layout within the bound (..., layouts)."""
        served = np.where(tpot <= bound, rate, 0.0)
        return np.stack([served[..., self.layout == n].max(axis=-1) for n in range(self.layouts)], axis=-1)

    def pick(self, tpot: Floats, rate: Floats, bound: float) -> int:
        """By one curve each; where no layout meets the bound, the one with the least TPOT."""
        served = self.best(tpot, rate, bound)
        return int(served.argmax()) if served.max() > 0 else int(self.layout[np.nanargmin(tpot)])

    def regret(self, choice: int, bound: float) -> float:
        served = self.best(self.tpot, self.rate, bound)
        return float(1 - served[choice] / served.max())

    def draws(self) -> Floats:
        """Common draws of both surprises (2, DRAWS, points)."""
        normal = np.random.default_rng(1).standard_normal((2, DRAWS, len(self.tpot)))
        eye = 1e-9 * np.eye(len(self.tpot))
        parts = zip(self.mean, self.covariance, normal, strict=True)
        return np.stack([m + z @ np.linalg.cholesky(c + eye).T for m, c, z in parts])

    def expected(self, off: Floats, bound: float) -> Floats:
        """Expected regret of each layout over draws (..., layouts)."""
        served = self.best(*self.curves(off), bound)
        top = served.max(axis=-1, keepdims=True)
        return (1 - np.divide(served, top, out=np.ones_like(served), where=top > 0)).mean(axis=-2)

    def choose(self, bound: float, off: Floats | None = None) -> int:
        """The layout of least expected regret."""
        found = self.expected(self.draws() if off is None else off, bound)
        return int(found.argmin()) if np.ptp(found) > 1e-9 else self.pick(*self.curves(self.mean), bound)

    def told(self, point: int, error: float) -> Space:
        """Once a point was measured, with a relative error of TPOT that its rate shares."""
        tpot, rate = self.tpot[point] * np.exp(error), self.rate[point] * np.exp(-error)
        seen = np.log(tpot / self.predicted[0, point]), np.log(tpot * rate / self.predicted[:, point].prod())
        gain = [c[:, point] / (c[point, point] + r**2) for c, r in zip(self.covariance, (self.error, 0.0), strict=True)]
        return replace(
            self,
            mean=np.stack([m + k * (v - m[point]) for m, k, v in zip(self.mean, gain, seen, strict=True)]),
            covariance=np.stack([c - np.outer(k, c[point]) for c, k in zip(self.covariance, gain, strict=True)]),
        )

    def near(self, bound: float, layout: int) -> list[int]:
        """The load at which a layout is expected to run, and the next."""
        tpot, rate = self.curves(self.mean)
        own = [n for n in np.argsort(self.load) if self.layout[n] == layout]
        within = [place for place, n in enumerate(own) if tpot[n] <= bound]
        place = max(within, key=lambda p: rate[own[p]]) if within else 0
        return own[place : place + 2]

    def next_run(self, bound: float, left: Sequence[int], how: str, rng: np.random.Generator) -> int:
        """The next point to measure."""
        order = np.argsort(-self.best(*self.curves(self.mean), bound))
        near = [self.near(bound, int(n)) for n in order]
        if how == "random":
            return int(rng.choice(left))
        if how == "best first":
            return next((points[0] for points in near if points[0] in left), left[0])
        off, worth = self.draws(), {}
        for point in sorted({n for points in near for n in points if n in left}) or left[:1]:
            slack = self.error * np.roll(np.random.default_rng(2).standard_normal(DRAWS), 7)
            shown = [off[0][:, point] + slack, off[1][:, point]]
            new = np.stack(
                [
                    o + (s[:SHOWN, None] - s)[..., None] * (c[:, point] / (c[point, point] + r**2))
                    for o, s, c, r in zip(off, shown, self.covariance, (self.error, 0.0), strict=True)
                ]
            )
            worth[point] = self.expected(new, bound).min(axis=-1).mean()
        return min(worth, key=lambda n: worth[n])


def spaces(runs: Runs, found: Folds, rows: Sequence[dict[str, str]]) -> Iterator[tuple[tuple[Any, ...], Space, Space]]:
    """Every group: nothing of its LLM seen, and its other groups seen."""
    labels = np.array([SPLITS["llm"](run) for run in runs.runs])
    cases = [case_of(run) for run in runs.runs]
    own_fold = np.array([found.names.index(label) if label in found.names else -1 for label in labels])
    everyone = np.arange(len(cases))
    held = found.surprises[np.maximum(own_fold, 0), :, everyone]  # (R, 2), each by the fit without its own LLM
    usable = np.isfinite(found.predicted).all(axis=(0, 1)) & (own_fold >= 0) & np.isfinite(held[:, 0])

    def seen(places: Sequence[int], table: Floats) -> list[Surprise]:
        """Repeats by their medians; every output needs one."""
        alike: dict[Any, list[int]] = defaultdict(list)
        for place in places:
            alike[cases[place]].append(place)
        for case, members in alike.items():
            figures = [column[members] for column in table.T]
            values = [float(np.nanmedian(each)) if np.isfinite(each).any() else None for each in figures]
            yield Surprise(case, values[0], values[1], None, len(members))

    for fold, name in enumerate(found.names):
        others = [n for n in range(len(rows)) if usable[n] and labels[n] != name]
        mine = [n for n in range(len(rows)) if usable[n] and labels[n] == name]
        if not mine:
            continue
        start = time.time()
        outside = list(seen(others, held))
        slopes = found.open_[fold]
        firsts: dict[Any, int] = {}
        for n in others:
            firsts.setdefault(cases[n], n)
        wide = spreads(outside, np.stack([slopes[firsts[each.case]] for each in outside]))
        # Three factors for all runs of a kind, set so that intervals hold: they saw this LLM too.
        wide = replace(wide, widths=packaged_spreads().widths)
        known = Surprises(list(seen(others, found.surprises[fold].T)), wide)
        points: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for n in mine:
            run = runs.runs[n]
            group = tuple(rows[n][k] for k in ("llm", "device", "engine", "precision", "prompt_tokens", "output_tokens"))
            layout = tuple(rows[n][k] for k in ("tp", "dp", "moe_tp", "ep", "n_devices"))
            points[(group, layout, run.concurrency)].append(n)
        keys = list(points)
        first = [points[key][0] for key in keys]
        there = [cases[n] for n in first]
        noise = np.array([wide.noise_of(there[:1], output)[0] for output in (0, 1)])
        mean = known.mean(there)[:2]
        covariance = np.stack([known.covariance(there, o) + noise[o] ** 2 * np.eye(len(there)) for o in (0, 1)])
        covariance[0] += slopes[first] @ slopes[first].T

        members = [points[key] for key in keys]
        tpot, rate, *theirs = (np.array([np.median(table[m]) for m in members]) for table in _columns(rows))
        told = ("concurrency", "output_tokens", "n_devices")
        load, output, devices = (np.array([float(rows[n][name]) for n in first]) for name in told)
        aic = np.stack([theirs[0], 1e3 * load / (theirs[0] + theirs[1] / output) / devices])
        pred = np.stack([[np.median(found.predicted[fold, o][m]) for m in members] for o in (0, 1)])
        showed = np.stack([np.log(tpot / pred[0]), np.log(tpot * rate / pred.prod(axis=0))])
        print(f"{name}: {len(keys)} points, {time.time() - start:.0f} s", flush=True)
        for group in dict.fromkeys(key[0] for key in keys):
            own = np.array([n for n, key in enumerate(keys) if key[0] == group])
            rest = np.array([n for n, key in enumerate(keys) if key[0] != group], int)
            layouts = list(dict.fromkeys(keys[n][1] for n in own))
            table = Space(
                name, tpot[own], rate[own], pred[:, own], aic[:, own], load[own],
                np.array([layouts.index(keys[n][1]) for n in own]), mean[:, own], covariance[np.ix_([0, 1], own, own)], noise,
            )  # fmt: skip
            if len(rest):
                gain = [np.linalg.solve(c[np.ix_(rest, rest)], c[np.ix_(rest, own)]).T for c in covariance]
                later = replace(
                    table,
                    mean=np.stack([m[own] + k @ (v - m)[rest] for m, k, v in zip(mean, gain, showed, strict=True)]),
                    covariance=np.stack(
                        [c[np.ix_(own, own)] - k @ c[np.ix_(rest, own)] for c, k in zip(covariance, gain, strict=True)]
                    ),
                )
            yield group, table, later if len(rest) else table


def _columns(rows: Sequence[dict[str, str]]) -> list[Floats]:
    """Measured TPOT [ms] and rate, and AIConfigurator's TPOT and TTFT [ms] (R,)."""
    names = ("tpot_ms", "output_tokens_per_s_per_device", "aic_tpot_ms", "aic_ttft_ms")
    return [np.array([float(row[name] or "nan") for row in rows]) for name in names]


def told(title: str, record: dict[str, dict[Any, float]], base: str) -> None:
    """Mean regret of each rule over the decisions that all made, and paired differences by bootstrap over groups."""
    keys = [k for k in record[base] if all(k in values for values in record.values())]
    groups = sorted({k[0] for k in keys})
    at = np.array([groups.index(k[0]) for k in keys])
    boot = np.random.default_rng(3).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), 4000)
    count = np.bincount(at, minlength=len(groups))
    llms = sorted({k[0][0] for k in keys})
    print(f"\n{title}: {len(keys)} decisions, {len(groups)} groups")
    for rule, values in record.items():
        own, other = (np.bincount(at, [v[k] for k in keys], len(groups)) for v in (values, record[base]))
        low, high = np.quantile(boot @ (own - other) / (boot @ count), (0.025, 0.975)) * 100
        never = np.mean([values[k] >= 1 - 1e-9 for k in keys])
        met = [values[k] for k in keys if values[k] < 1 - 1e-9]
        each = {llm: 100 * np.mean([values[k] for k in keys if k[0][0] == llm]) for llm in llms}
        mean, more = 100 * own.sum() / count.sum(), 100 * (own - other).sum() / count.sum()
        print(
            f"{rule:42} {mean:6.2f} % {more:+6.2f} [{low:+.2f}, {high:+.2f}] x {own.sum() / other.sum():.2f}; "
            f"never meets {never:.1%}, else {100 * np.mean(met):.2f} %; "
            + " ".join(f"{llm[:12]} {value:.1f}" for llm, value in each.items())
        )


@pytest.mark.benchmark
@pytest.mark.skipif(not SHARED.exists(), reason="the recorded runs are not here")
def test_choices_under_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs.of([read_runs(str(SHARED / name)) for name in FILES])
    with (SHARED / FILES[0]).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cache = os.environ.get("CHOICE_CACHE")
    monkeypatch.setattr(fitting, "ROUNDS", ROUNDS)
    found = folds(runs, len(rows), Path(cache) if cache else None)
    choices: dict[str, dict[Any, float]] = defaultdict(dict)
    measured: dict[tuple[float, int], dict[str, dict[Any, float]]] = defaultdict(lambda: defaultdict(dict))
    covered: list[tuple[str, str, float, float, float]] = []
    errors: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for group, unseen, seen in spaces(runs, found, rows):
        served = np.log(unseen.tpot * unseen.rate / unseen.predicted.prod(axis=0))
        off = np.stack([np.log(unseen.tpot / unseen.predicted[0]), served])
        # What is bad: a longer TPOT; less throughput.
        for which, signs in (("TPOT", (1, 0)), ("throughput", (1, -1))):
            value, mean = signs[0] * off[0] + signs[1] * off[1], signs[0] * unseen.mean[0] + signs[1] * unseen.mean[1]
            width = np.sqrt(sum(abs(s) * np.diag(c) for s, c in zip(signs, unseen.covariance, strict=True)))
            covered += [(which, unseen.llm, v, m, w) for v, m, w in zip(value, mean, width, strict=True)]
        for seed in range(3 if len(unseen.tpot) >= 8 else 0):
            order = np.random.default_rng(seed).permutation(len(unseen.tpot))
            for state, space in (("LLM unseen", unseen), ("other groups seen", seen)):
                for k in range(6):
                    tpot, rate = space.curves(space.mean)
                    off_by = np.abs(tpot / space.tpot - 1), np.abs(rate / space.rate - 1)
                    errors[state, k] += [(off_by[0][n], off_by[1][n]) for n in order[5:]]
                    space = space.told(order[k], 0.0)
        for bound in (b for b in BOUNDS_MS if unseen.layouts > 1 and (unseen.tpot <= b).any()):
            key = group, bound
            choices["point prediction"][key] = unseen.regret(unseen.pick(*unseen.predicted, bound), bound)
            choices["least expected regret, LLM unseen"][key] = unseen.regret(unseen.choose(bound), bound)
            choices["least expected regret, other groups seen"][key] = unseen.regret(seen.choose(bound), bound)
            if np.isfinite(unseen.aic).all():
                choices["AIConfigurator"][key] = unseen.regret(unseen.pick(*unseen.aic, bound), bound)
            for error in (0.0, 0.05) if unseen.layouts > 2 else ():
                for how in ("random", "best first", "value of information"):
                    regrets = np.zeros(6)
                    for seed in range(SEEDS if how == "random" else 1):
                        space, left = replace(unseen, error=error), list(range(len(unseen.tpot)))
                        rng = np.random.default_rng(seed)
                        for k in range(6):
                            if k in (1, 3, 5):
                                regrets[k] += space.regret(space.choose(bound), bound)
                            if left and k < 5:
                                point = space.next_run(bound, left, how, rng)
                                left.remove(point)
                                space = space.told(point, error * rng.standard_normal())
                    for k in (1, 3, 5):
                        measured[error, k][how][key] = regrets[k] / (SEEDS if how == "random" else 1)
    theirs = choices.pop("AIConfigurator")
    told("(a) regret of the layout chosen", choices, "point prediction")
    told("(a) where AIConfigurator predicts", choices | {"AIConfigurator": theirs}, "point prediction")
    for (error, k), record in sorted(measured.items()):
        told(f"(b) after {k} runs, {error:.0%} error", record, "random")
    print("\n(c) runs that keep their predicted quantile as a promise, of which at 0.8 and 0.95 (without the mean)")
    for which in ("TPOT", "throughput"):
        for llm in ("all", *found.names):
            part = np.array([c[2:] for c in covered if c[0] == which and llm in ("all", c[1])])
            if len(part):
                shares = [np.mean(part[:, 0] <= m + z * part[:, 2]) for m in (part[:, 1], 0.0) for z in (0.8416, 1.6449)]
                print(f"{which:10} {llm:24} {shares[0]:.0%} {shares[1]:.0%}  ({shares[2]:.0%} {shares[3]:.0%})")
    print("\n(d) error of a group's other points after k random runs of it: TPOT, throughput")
    for (state, k), pairs in sorted(errors.items()):
        print(f"{state:20} k={k} {100 * np.mean([p[0] for p in pairs]):.1f} {100 * np.mean([p[1] for p in pairs]):.1f} %")
