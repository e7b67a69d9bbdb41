"""``rackplan check``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solver.cli.app import AsJson, PlanFile, app
from solver.cli.train import is_training_plan_file
from solver.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from solver.export.start import EngineStart
    from solver.plan import Plan
    from solver.proof import Proof


@app.command(epilog="Example: rackplan check plan.json --engine-start --model /models/llama-3.1-70b-fp8")
def check(
    plan: PlanFile,
    as_json: AsJson = False,
    engine_start: Annotated[
        bool, typer.Option("--engine-start", help="Ask the engine itself whether it would start the exported commands.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with the LLM's config.json, for --engine-start.")
    ] = None,
    proof: Annotated[
        bool, typer.Option("--proof", help="Prove the bound once more, by other rows and another solver (extra proof).")
    ] = False,
    proof_limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Seconds after which --proof stays undecided.")
    ] = 60.0,
) -> None:
    """Re-derive every claim of a plan from its scenario, without the optimiser.

    With --engine-start also ask the engine that it names: its own parser, checks and model construction run without a
    device, in the environment that RACKPLAN_ENGINES names and tests/engines/setup builds. With --proof the bound is no
    longer taken on trust: it follows, is refuted, or stays undecided.
    """
    from solver.check import attested, violations
    from solver.check.training import training_violations
    from solver.plan import Plan
    from solver.training.plan import load_training

    if model is not None and not engine_start:
        raise BadInput("--model says where the engine finds the LLM: it goes with --engine-start")
    if is_training_plan_file(plan):
        if engine_start:
            raise BadInput("--engine-start asks a serving engine; this is a plan of training")
        if proof:
            raise BadInput("--proof proves the bound of a serving plan; this is a plan of training")
        found, trusted, start = training_violations(load_training(plan)), ["the bound, and with it the gap"], None
        proved = None
    else:
        loaded = Plan.load(plan)
        found, trusted = violations(loaded), attested(loaded)
        start = _engine_start(loaded, model) if engine_start and not found else None
        proved = _proof(loaded, proof_limit) if proof and not found else None
        if proved is not None and proved.verdict == "refuted":
            found = [str(proved)]
        elif proved is not None and proved.verdict == "follows":
            trusted = trusted[1:]
    refused = [str(verdict) for verdict in start.verdicts if not verdict.accepted] if start else []
    if as_json:
        content = {"accepted": not found and not refused, "violations": found, "attested": trusted}
        content |= {"engine_start": start.to_json()} if start else {}
        print(json.dumps(content | ({"proof": asdict(proved)} if proved else {}), indent=1))
    if found or refused:
        raise CheckFailed([*found, *refused])
    if not as_json:
        print("accepted: every other claim of the plan follows from its scenario")
        print(f"taken on trust: {'; '.join(trusted)}")
        if start:
            print(start)
        if proved:
            print(f"proof: {proved}")


def _proof(plan: Plan, seconds: float) -> Proof:
    from solver.proof import prove

    return prove(plan, seconds)


def _engine_start(plan: Plan, model: Path | None) -> EngineStart:
    from solver.export.start import judge

    return judge(plan, model)
