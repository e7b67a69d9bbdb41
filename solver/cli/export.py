"""``rackplan export``: what an engine needs to run a plan."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from solver.cli.app import AsJson, PlanFile, app
from solver.cli.train import is_training_plan_file


@app.command(epilog="Example: rackplan export plan.json --engine sglang -o deploy")
def export(
    plan: PlanFile,
    engine: Annotated[
        str, typer.Option(help="vllm, sglang, trtllm, dynamo, lws or llm-d; for a training plan megatron or torchtitan.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write into.")],
    as_json: AsJson = False,
) -> None:
    """Write a deployment that serves a plan at one address: for hosts (up.sh, slurm.sbatch) or for Kubernetes.

    Start scripts with their ports and variables, routers with the plan's shares, engine files and expert maps; hosts.json
    says what starts where and has the addresses to fill in.
    """
    from solver.export import export as write
    from solver.plan import Plan

    if is_training_plan_file(plan):
        from solver.export.training import export_training
        from solver.training.plan import load_training

        bundle = export_training(load_training(plan), engine)
    else:
        bundle = write(Plan.load(plan), engine)
    bundle.save(output)
    if as_json:
        print(json.dumps({"files": sorted(bundle.files), "warnings": list(bundle.warnings)}, indent=1))
        return
    for name in sorted(bundle.files):
        print(output / name)
    for warning in bundle.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(bundle.files)} files, {len(bundle.warnings)} warnings")
