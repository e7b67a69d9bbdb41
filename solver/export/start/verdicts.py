"""The engines' verdicts on a plan, beside its ledger."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import topologies
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.steps.memory import BLOCK_TOKENS
from solver.engines import engine_rules, engine_versions
from solver.errors import BadFile, BadInput
from solver.export import export
from solver.export.start.commands import StartCommand, start_commands
from solver.plan import Plan, Pool
from topologies import Device

#: Variable that names the folder of the engines' environments: in it ``vllm`` and ``sglang``, as ``tests/engines/setup``
#: builds them.
ENVIRONMENTS = "RACKPLAN_ENGINES"
_JUDGED = ("vllm", "sglang")
#: CUDA compute capability of a generation.
_CAPABILITIES = {
    "volta": (7, 0),
    "turing": (7, 5),
    "ampere": (8, 0),
    "ada": (8, 9),
    "hopper": (9, 0),
    "blackwell": (10, 0),
}
_TIME_LIMIT_S = 900.0


@dataclass(frozen=True)
class StageLedger:
    """Weights of one pipeline stage of a rank: the plan's ledger beside what the engine builds [bytes]."""

    planned_bytes: float
    built_bytes: float


@dataclass(frozen=True)
class StartVerdict:
    """What an engine says of one command.

    Attributes
    ----------
    name: of the command. pool: whose.
    version: the version that judged.
    says: why it refuses; empty where it accepts.
    stages: weights stage by stage, where the engine's stages were built.
    planned_tokens, built_tokens: of KV cache in the room that the ledger leaves, where all layers cache alike.
    """

    name: str
    pool: str
    version: str
    accepted: bool
    says: str
    stages: tuple[StageLedger, ...] = ()
    planned_tokens: int | None = None
    built_tokens: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.accepted:
            return f"{self.name}: refused: {self.says}"
        parts = [f"{self.name}: accepted"]
        if self.stages:
            worst = max(self.stages, key=lambda stage: abs(stage.planned_bytes / stage.built_bytes - 1))
            parts.append(
                f"weights of {len(self.stages)} stages within {abs(worst.planned_bytes / worst.built_bytes - 1):.2%} "
                f"({worst.planned_bytes / 1e9:.2f} planned, {worst.built_bytes / 1e9:.2f} GB built)"
            )
        if self.planned_tokens and self.built_tokens:
            parts.append(f"KV of {self.planned_tokens:,} tokens planned, {self.built_tokens:,} built")
        return "; ".join(parts)


@dataclass(frozen=True)
class EngineStart:
    """Verdicts of the engine that a plan names.

    Attributes
    ----------
    engine, planned: the plan's engine and its version; judged: the version that was asked.
    other_rules: rules of the planned version that those of the judging one are not: there the rules win.
    """

    engine: str
    planned: str
    judged: str
    verdicts: tuple[StartVerdict, ...]
    other_rules: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.engine} {self.judged} judged {len(self.verdicts)} commands of a plan for {self.planned}"]
        lines += [f"  {verdict}" for verdict in self.verdicts]
        lines += [f"  judged by rule alone, which differs from {self.judged}: {rule}" for rule in self.other_rules]
        return "\n".join(lines)


def judge(plan: Plan, model: Path | None = None, environments: Path | None = None) -> EngineStart:
    """The engine's own verdict on every command of a plan's export.

    Parameters
    ----------
    model: folder with the LLM's config.json, where the engine cannot get it from the name.
    environments: folder of the engines' environments; that which the variable names without.

    Raises
    ------
    BadInput: no such environment, or an engine or a device that cannot be judged without a device.
    """
    engine = plan.pools[0].engine
    if engine not in _JUDGED:
        raise BadInput(f"{engine} cannot be asked without a device; {' and '.join(_JUDGED)} can")
    with tempfile.TemporaryDirectory() as folder:
        export(plan, engine).save(folder)
        commands = list(start_commands(Path(folder), engine))
    evidence = Evidence(plan, Instance.of(plan.scenario))
    found: list[StartVerdict] = []
    for name in sorted({pool.device for pool in plan.pools}):
        device = topologies.devices_of(evidence.instance.cluster)[name]
        asked = [command for command in commands if plan.pool(command.pool).device == name]
        answers = _ask(engine, _python(engine, environments), device, asked, evidence, model)
        found += [_verdict(evidence, plan.pool(c.pool), c, a) for c, a in zip(asked, answers, strict=True)]
    planned, judged = plan.pools[0].engine_version, found[0].version
    return EngineStart(engine, planned, judged, tuple(found), tuple(_other_rules(engine, planned, judged)))


def _python(engine: str, environments: Path | None) -> Path:
    """The Python of an engine's environment."""
    named = os.environ.get(ENVIRONMENTS)
    root = environments or (Path(named) if named else None)
    if root is None:
        raise BadInput(
            f"set {ENVIRONMENTS} to a folder that tests/engines/setup has built: it holds the engines to ask"
        )
    python = root / engine / "bin" / "python"
    if not python.exists():
        raise BadFile(f"{python}: there is no environment of {engine}; tests/engines/setup {root} builds it")
    return python


def _ask(
    engine: str,
    python: Path,
    device: Device,
    commands: list[StartCommand],
    evidence: Evidence,
    model: Path | None,
) -> list[Mapping[str, Any]]:
    if device.generation not in _CAPABILITIES:
        raise BadInput(f"{device.name}: engines are asked about NVIDIA devices from Volta to Blackwell alone")
    mask = {
        "title": f"NVIDIA {device.name.upper()}",
        "capability": _CAPABILITIES[device.generation],
        "bytes": int(device.hbm_usable_bytes),
        "count": device.devices_per_host,
    }
    questions = [
        {
            "name": command.name,
            "words": command.words,
            "environment": dict(command.environment),
            "model": str(model.resolve()) if model else "",
            # A follower holds stages as its leader does.
            "build": not command.follower,
            "rooms": [float(room) for room in _rooms(evidence, command.pool)],
        }
        for command in commands
    ]
    script = Path(__file__).with_name("judges") / f"{engine}_judge.py"
    ran = subprocess.run(
        [python, script],
        input=json.dumps({"device": mask, "commands": questions}),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIME_LIMIT_S,
    )
    answers = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    if len(answers) != len(commands):
        raise BadInput(f"{python}: {engine} could not be asked: {ran.stderr.strip()[-300:]}")
    return answers


def _rooms(evidence: Evidence, pool: str) -> list[float]:
    """Room of the KV cache on every stage [bytes]."""
    ledger = evidence.priced[pool].replicas.ledger
    return [max(room, 0.0) for room in ledger.kv_room[0, : evidence.plan.pool(pool).parallelism.pp]]


def _verdict(evidence: Evidence, pool: Pool, command: StartCommand, answer: Mapping[str, Any]) -> StartVerdict:
    ledger = evidence.priced[pool.name].replicas.ledger
    stages = tuple(
        StageLedger(float(ledger.weights[0, number]), float(built["weights_bytes"]))
        for number, built in enumerate(answer.get("stages", ()))
    )
    tokens = None
    if answer.get("kv_tokens") is not None:
        rates = zip(_rooms(evidence, pool.name), ledger.kv_token[0], strict=False)
        tokens = min(int(room / rate) // BLOCK_TOKENS * BLOCK_TOKENS for room, rate in rates if rate)
    return StartVerdict(
        command.name,
        pool.name,
        answer["version"],
        answer["accepted"],
        answer["says"],
        stages,
        tokens,
        answer.get("kv_tokens"),
    )


def _other_rules(engine: str, planned: str, judged: str) -> list[str]:
    """Rules of the planned version that those of the judging one are not, one sentence each.

    >>> [sentence.partition(":")[0] for sentence in _other_rules("vllm", "0.33", "0.32.0+cpu")]
    ['expert fp8 block']
    """
    version = next((known for known in engine_versions(engine) if judged.startswith(known)), None)
    if version is None:
        return [f"{engine} {judged} is no version whose rules are known; those of {planned} win"]
    theirs = {(rule.name, rule.when.text) for rule in engine_rules(engine, version).rules}
    return [
        f"{rule.name}: {rule.because}"
        for rule in engine_rules(engine, planned).rules
        if (rule.name, rule.when.text) not in theirs
    ]
