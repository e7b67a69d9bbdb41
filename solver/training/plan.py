"""A training plan: the layout, the stages, the place of every rank, what a step takes, and how near to the best that is.

``rackplan schema training-plan`` publishes it as JSON Schema. Reading is strict, as for serving plans.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from solver.errors import BadFile
from solver.training.activations import Policy
from solver.training.job import Exchange, TrainingLayout
from solver.training.scenario import TrainingScenario
from solver.training.schedules import Kind, Schedule
from solver.workload.documents import parse_json
from solver.workload.fields import Record, read_record
from solver.workload.files import MOST_BYTES, read_text
from topologies.writing import write_file

TRAINING_SCHEMA_VERSION = "1.0"

Size = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=2**40)]
Degree = Annotated[int, Field(ge=1, le=2**20)]
Part = tuple[Number, Number]


class TrainingDegrees(Record):
    """How devices share the work; see :class:`solver.training.job.TrainingLayout`."""

    tp: Degree
    cp: Degree
    pp: Degree
    dp: Degree
    ep: Degree
    zero: Annotated[int, Field(ge=0, le=3)]
    micro_batch: Degree
    schedule: Kind
    chunks: Degree
    exchange: Exchange
    overlap: bool
    sequence_parallel: bool
    async_hops: bool

    @classmethod
    def of(cls, layout: TrainingLayout) -> TrainingDegrees:
        """The record of a layout."""
        values = {name: getattr(layout, name) for name in cls.model_fields if name not in ("schedule", "chunks")}
        return cls(**values, schedule=layout.schedule.kind, chunks=layout.schedule.chunks)

    def layout(self) -> TrainingLayout:
        """The layout of this record."""
        values = self.model_dump(exclude={"schedule", "chunks"})
        return TrainingLayout(**values, schedule=Schedule(self.schedule, self.chunks))


class PolicyRun(Record):
    """Layers that follow each other (first and last, both included, counted from 0) and have one activation policy."""

    layers: Part
    policy: Policy


class RankLedger(Record):
    """HBM of every rank of a stage [bytes].

    Attributes
    ----------
    activations_bytes: of all micro-batches that the stage holds at most. working_bytes: of one layer that is recomputed, or
    whose weights are gathered. head_bytes: logits, and what multi-token prediction keeps.
    """

    weights_bytes: Size
    gradients_bytes: Size
    optimiser_bytes: Size
    activations_bytes: Size
    working_bytes: Size
    head_bytes: Size
    capacity_bytes: Size

    @property
    def parts(self) -> dict[str, float]:
        """What fills the rank, in the words of drawings and summaries [bytes]."""
        return {
            "weights": self.weights_bytes,
            "gradients": self.gradients_bytes,
            "optimiser": self.optimiser_bytes,
            "activations": self.activations_bytes,
            "recomputation": self.working_bytes,
            "logits": self.head_bytes,
        }

    @property
    def used_bytes(self) -> float:
        """All parts together."""
        return sum(self.parts.values())


class TrainingStage(Record):
    """What each rank of one pipeline device holds.

    Attributes
    ----------
    parts: runs of layers (first and last, both included); an interleaved or folded schedule has several, and a chunk with
    the embedding or the head alone has none. micro_batch_s: forward, backward and recomputation of one micro-batch.
    held_micro_batches: whose activations it holds at most.
    """

    parts: tuple[Part, ...]
    policies: tuple[PolicyRun, ...]
    micro_batch_s: Size
    held_micro_batches: Size
    memory: RankLedger


class StepPrediction(Record):
    """What a step takes.

    Attributes
    ----------
    mfu_causal, mfu_full: share of the bf16 peak that the network's own FLOP use, with attention's masked scores left out or
    counted. bubble_s: of the fullest device. outside_s: gradients, weights and optimiser that no work hides.
    """

    step_s: Size
    tokens_per_s: Size
    mfu_causal: Size
    mfu_full: Size
    bubble_s: Size
    outside_s: Size
    days: Size


class TrainingObjective(Record):
    """What the run costs, and what no layout of the space undercuts under the cost model."""

    usd_per_million_tokens: Size
    usd_per_hour: Size
    usd: Size
    bound: Size
    gap: Annotated[float, Field(ge=0, le=1)]


class PatternTraffic(Record):
    """One kind of traffic between scale-up domains.

    Attributes
    ----------
    slowdown: share of a NIC's bandwidth that the cluster leaves to each rank when all send at once.
    busiest: the link that decides, from and to.
    """

    pattern: Literal["context", "data", "expert_data", "hop", "experts"]
    slowdown: Annotated[float, Field(gt=0, le=1)]
    busiest: tuple[str, str] | None


class TrainingProvenance(Record):
    """What the plan was made with.

    Attributes
    ----------
    kernels: the generation on which kernels were measured. bound_over: the space over which the bound holds.
    """

    versions: dict[str, str]
    kernels: str
    layouts: Number
    bound_over: str


class TrainingPlan(Record):
    """A complete, checkable answer to a training scenario.

    Attributes
    ----------
    domain: devices of each scale-up domain that are used at most. placement: the device of every rank, in the order of ranks
    (tensor, context, data, stage, fastest first). caveats: sentences on what is not known well.
    """

    schema_version: str
    kind: Literal["training"] = "training"
    scenario: TrainingScenario
    device: str
    domain: Degree
    precision: Literal["bf16", "fp8"]
    degrees: TrainingDegrees
    micro_batches: Degree
    stages: tuple[TrainingStage, ...]
    placement: tuple[str, ...]
    traffic: tuple[PatternTraffic, ...]
    prediction: StepPrediction
    objective: TrainingObjective
    caveats: tuple[str, ...]
    provenance: TrainingProvenance

    @field_validator("schema_version")
    @classmethod
    def _same_major(cls, version: str) -> str:
        numbers = version.split(".")
        if numbers[0] != TRAINING_SCHEMA_VERSION.split(".")[0] or not all(number.isdecimal() for number in numbers):
            raise ValueError(
                f"this is version {version[:20]} of training plans; this rackplan reads {TRAINING_SCHEMA_VERSION}"
            )
        return version

    @property
    def fullest(self) -> int:
        """The stage whose ranks are fullest."""
        return max(range(len(self.stages)), key=lambda s: self.stages[s].memory.used_bytes)

    @property
    def slowest(self) -> int:
        """The stage that sets the pace."""
        return max(range(len(self.stages)), key=lambda s: self.stages[s].micro_batch_s)


def is_training_plan(content: object) -> bool:
    """Whether a parsed document is a training plan."""
    return isinstance(content, dict) and content.get("kind") == "training" and "schema_version" in content


def dump_training(plan: TrainingPlan) -> str:
    """The plan as JSON text."""
    return plan.model_dump_json(by_alias=True, indent=1) + "\n"


def save_training(plan: TrainingPlan, path: str | PathLike[str]) -> None:
    """Write a plan.

    Raises
    ------
    BadInput: the file cannot be written.
    """
    write_file(path, dump_training(plan))


def load_training(path: str | PathLike[str]) -> TrainingPlan:
    """Read a plan strictly.

    Raises
    ------
    BadFile: not a training plan. BadInput: a wrong key or value; names the path inside the file.
    """
    content = parse_json(read_text(Path(path), MOST_BYTES), str(path))
    if not is_training_plan(content):
        raise BadFile(f"{path}: not a training plan: it has no kind: training; rackplan train writes one with -o")
    return read_record(TrainingPlan, content, str(path))
