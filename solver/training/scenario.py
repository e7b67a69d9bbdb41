"""Training scenarios: the file that says what to train and where.

A training scenario is a scenario with ``training`` in place of traffic and slo::

    llm: {config: gpt-175b}                         # a catalog name, a config.json, or a network of Korthikanti et al.
    cluster: {builder: hgx, nodes: 8, device: a100}
    training: {sequence_tokens: 2048, global_batch_sequences: 64, total_tokens: 3e11}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from solver.training.job import Exchange
from solver.training.schedules import Kind
from solver.workload.fields import Price, Record, Share, Tokens, read_record
from solver.workload.rent import PriceBasis
from solver.workload.scenario import LLMSpec

Batch = Annotated[int, Field(ge=1, le=10_000_000)]
Ways = Annotated[int, Field(ge=1, le=1_000_000)]


class TrainingSpec(Record):
    """What is to be trained."""

    sequence_tokens: Tokens = Field(description="tokens of a sequence", examples=[4096])
    global_batch_sequences: Batch = Field(description="sequences of one step of the optimiser", examples=[15360])
    total_tokens: Annotated[float, Field(ge=1, le=1e18)] = Field(description="tokens of the run", examples=[1.48e13])
    precision: Literal["auto", "bf16", "fp8"] = Field(
        "auto",
        description="operands of matrix products; auto: fp8 where the checkpoint's experts or linear layers are and the "
        "device has it",
        examples=["fp8"],
    )
    moments: Literal["fp32", "bf16"] = Field("fp32", description="Adam's two moments", examples=["bf16"])
    nodes_per_token: Ways | None = Field(
        None, description="most hosts that hold the experts of one token (node-limited routing)", examples=[4]
    )
    reversible: bool = Field(False, description="the network is reversible; needs framework: any", examples=[True])
    flash: bool | None = Field(
        None,
        description="attention keeps no scores (FlashAttention); default: yes, but for the networks of Korthikanti et al., "
        "which were measured without",
        examples=[False],
    )
    framework: Literal["megatron", "torchtitan", "any"] = Field(
        "megatron", description="whose schedules, exchanges and policies a layout may use", examples=["torchtitan"]
    )


class PinnedLayout(Record):
    """Parts of the layout that are not up to the search; what is left out stays free."""

    tp: Ways | None = Field(None, description="ranks that share each matrix", examples=[8])
    cp: Ways | None = Field(None, description="ranks that share each sequence", examples=[16])
    pp: Ways | None = Field(None, description="devices of a pipeline", examples=[16])
    dp: Ways | None = Field(None, description="copies", examples=[64])
    ep: Ways | None = Field(None, description="ranks that share the experts", examples=[64])
    zero: Annotated[int, Field(ge=0, le=3)] | None = Field(None, description="what copies share", examples=[1])
    micro_batch: Ways | None = Field(None, description="sequences of a micro-batch", examples=[1])
    schedule: Kind | None = Field(None, description="of the pipeline", examples=["interleaved"])
    chunks: Ways | None = Field(None, description="parts of the network on each device", examples=[4])
    exchange: Exchange | None = Field(None, description="how context ranks see all keys", examples=["gather"])


class TrainingOptions(Record):
    """How near to the best is near enough."""

    gap: Share = Field(0.0, description="relative gap at which the search may stop", examples=[0.01])


class TrainingScenario(Record):
    """Everything a training solve depends on."""

    llm: LLMSpec = Field(description="what is trained", examples=["{config: deepseek-v3}"])
    cluster: dict[str, Any] = Field(
        description="where: a builder with its arguments, or a file",
        examples=["{builder: hgx, nodes: 256, device: h800}"],
    )
    training: TrainingSpec
    layout: PinnedLayout = Field(default_factory=PinnedLayout)
    objective: Literal["cost", "throughput"] = Field(
        "throughput",
        description="cost takes the devices that train for the fewest USD per token; throughput the whole cluster",
        examples=["cost"],
    )
    billing: Literal["device", "host", "domain"] = Field("host", description="what is rented", examples=["domain"])
    owned: bool = Field(False, description="the whole cluster is a fixed cost, as for throughput", examples=[True])
    price_basis: PriceBasis = Field("on-demand", description="terms of the catalog's prices", examples=["reserved-3y"])
    prices: dict[str, Price] = Field(default_factory=dict, description="USD per device-hour", examples=["{h800: 2.00}"])
    options: TrainingOptions = Field(default_factory=TrainingOptions)

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], name: str) -> TrainingScenario:
        """Read a parsed document; ``name`` stands for it in errors.

        Raises
        ------
        BadInput: naming the path inside the document and what is wrong there.
        """
        return read_record(cls, dict(content), name)
