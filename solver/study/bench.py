"""A folder of load tests: what to start, what to run against it, and what to expect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from solver.cost.instance import Instance
from solver.export import export
from solver.export.engines import native
from solver.export.files import ExportedFiles
from solver.export.layout import Deployment
from solver.plan import Plan
from solver.study.load_testers import TESTERS, script
from solver.study.measure import LoadTest, lone
from solver.study.rivals import rivals
from topologies.units import show_seconds


def bench(plan: Plan, tests: Sequence[LoadTest]) -> ExportedFiles:
    """Every run in a folder of its own: ``deploy/`` starts the replica, a script for each load tester, ``expected.json``."""
    files = {"README.md": _read_me(tests)}
    warnings: list[str] = []
    plans = [each.plan for each in rivals(plan, Instance.of(plan.scenario))]
    for place, test in enumerate(tests, 1):
        folder = f"{place}-{test.pool}"
        alone = lone(plans[test.plan], test.pool)
        engine = native(alone.pools[0].engine)
        started = export(alone, engine)
        files |= {f"{folder}/deploy/{name}": text for name, text in started.files.items()}
        warnings += [f"{folder}: {warning}" for warning in started.warnings]
        model = Deployment(alone, engine).model
        files |= {f"{folder}/{tester}.sh": script(test, tester, model) for tester in TESTERS}
        expected = {name: asdict(figure) for name, figure in test.expected.items()}
        files[f"{folder}/expected.json"] = json.dumps(test.plain() | {"expected": expected}, indent=1) + "\n"
    return ExportedFiles(files, tuple(dict.fromkeys(warnings)))


def lines(tests: Sequence[LoadTest]) -> list[str]:
    """Every run in words, that on which most hangs first."""
    told = []
    for place, test in enumerate(tests, 1):
        where = f"{test.share:.0%} of the cost" if test.plan == 0 else f"of rival {test.plan}"
        figures = ", ".join(
            f"{name.replace('_', ' ')} {figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"
            for name, figure in test.expected.items()
        )
        told += [
            f"{place}. {test.pool}: {test.layout}, {where}",
            *(() if test.fall is None else [f"   lets the expected regret fall by {test.fall:.2%} of the cost"]),
            f"   rests on {test.because}",
            f"   {test.concurrency:,} requests in flight of {test.prompt_tokens:,} + {test.output_tokens:,} tokens, "
            f"{test.requests:,} in all: {show_seconds(test.seconds)}, {test.device_hours:.2g} device-hours",
            f"   expect {figures}",
        ]
    return told


def _read_me(tests: Sequence[LoadTest]) -> str:
    return "\n".join(
        (
            "# Load tests of a plan",
            "",
            "One replica of each shape by itself: that first which is worth most to the choice between plan and rivals; where",
            "it names none, that on which most of the cost hangs for the fewest measured runs.",
            "Hand-over between pools and queues before them are not in these runs; `rackplan simulate` has those.",
            "",
            "In each folder: start the replica with `deploy/up.sh` once `deploy/hosts.json` has addresses, then run ONE of",
            *(f"- `{tester}.sh`" for tester in TESTERS),
            "",
            "with `URL` set to where it serves. Compare with `expected.json`: a figure outside of its range (80 % of the draws",
            "of what predictions may be off by lie within) says that the plan rests on something that does not hold.",
            "",
            *lines(tests),
            "",
        )
    )
