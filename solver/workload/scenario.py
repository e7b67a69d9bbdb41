"""The scenario: one record that holds everything a solve depends on, read from YAML, JSON or Python."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from solver.errors import BadInput, UnknownName
from solver.replica import SERVING_ENGINES, Engine, Role, Setup, engine_and_version
from solver.workload.fields import Count, Price, Record, Seconds, Share, Tokens, read_record
from solver.workload.kv_tiers import HBM, KVTierName
from solver.workload.rent import PriceBasis
from solver.workload.traffic import SLO, Traffic

Degree = Annotated[int, Field(ge=1, le=1_000_000)]
Dimension = Literal["tp", "pp", "ep", "dp", "moe_tp", "cp"]


class LLMSpec(Record):
    """Which LLM, and in which precision.

    Attributes
    ----------
    config: catalog name, path to a Hugging Face ``config.json``, or the configuration itself.
    weights: ``checkpoint`` (per part, from the quantisation config), one dtype, or a dtype per part.
    kv_cache: ``auto`` or a dtype.
    family: family of architectures to read the configuration as, on the asker's own responsibility (``as`` in files).
    """

    config: str | dict[str, Any]
    weights: str | dict[str, str] = "checkpoint"
    kv_cache: str = "auto"
    family: Annotated[str, Field(max_length=60)] | None = Field(default=None, alias="as")


class Speculation(Record):
    """Draft tokens verified in one step.

    Attributes
    ----------
    method: ``mtp`` uses the checkpoint's own prediction layers.
    draft_tokens: how many to draft, or ``auto`` to let the program choose.
    acceptance: probability that draft i is accepted given that those before it were.
    """

    method: Literal["mtp"] = "mtp"
    draft_tokens: Annotated[int, Field(ge=0, le=16)] | Literal["auto"] = "auto"
    acceptance: Annotated[tuple[Share, ...], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _every_draft_has_a_chance(self) -> Speculation:
        if self.draft_tokens != "auto" and self.draft_tokens > len(self.acceptance):
            raise ValueError(
                f"draft_tokens {self.draft_tokens} needs as many acceptance probabilities, not {len(self.acceptance)}"
            )
        return self

    @property
    def choices(self) -> tuple[int, ...]:
        """Numbers of draft tokens among which the program chooses."""
        return tuple(range(len(self.acceptance) + 1)) if self.draft_tokens == "auto" else (self.draft_tokens,)

    def accepted(self, drafts: int) -> float:
        """Tokens that one step yields per sequence: 1 + a1 + a1 a2 + ... (Leviathan et al. 2023).

        >>> Speculation(acceptance=(0.8, 0.5)).accepted(2)
        2.2
        """
        total, chance = 1.0, 1.0
        for share in self.acceptance[:drafts]:
            chance *= share
            total += chance
        return total


class Options(Record):
    """What the program may choose, and how hard it tries.

    Attributes
    ----------
    disaggregate: separate prefill and decode pools: ``auto`` chooses, true and false demand.
    redundant_experts: spare expert copies of a replica where expert loads are recorded, or ``auto``.
    survive_domain_failures, survive_host_failures: the demand is still met after losing any so many.
    max_pools: pools of one role and promise at most.
    gap: relative gap at which a plan counts as optimal.
    simplicity: share by which a plan may cost more than the cheapest one found, where it is simpler (0 = not at all).
    slo_confidence: share of the draws of what predictions may be off by in which all promises hold at once; 0.5 asks for
        what is predicted, without draws.
    memory_fraction: share of the HBM that engines may fill, as each counts it (vLLM ``gpu_memory_utilization``, SGLang
        ``mem_fraction_static``, TensorRT-LLM ``free_gpu_memory_fraction``); the engine's default if left out.
    kv_tiers: where KV may wait for a session's next turn: ``auto``, tiers by name (``hbm`` among them), or ``[]``: it is
        dropped. ``remote`` are stores on switches, pooled over the fabric.
    kv_ages_s: ages at which idle KV may move on or be dropped; a grid of its own if empty [s].
    """

    disaggregate: bool | Literal["auto"] = "auto"
    redundant_experts: Annotated[int, Field(ge=0, le=4096)] | Literal["auto"] = "auto"
    survive_domain_failures: Count = 0
    survive_host_failures: Count = 0
    max_pools: Annotated[int, Field(ge=1, le=16)] = 2
    gap: Annotated[float, Field(ge=0, le=1)] = 0.01
    simplicity: Annotated[float, Field(ge=0, le=1)] = 0.02
    slo_confidence: Annotated[float, Field(ge=0.5, le=0.99)] = 0.5
    memory_fraction: Annotated[float, Field(ge=0.3, le=0.97)] | None = None
    kv_tiers: Literal["auto"] | tuple[KVTierName, ...] = "auto"
    kv_ages_s: Annotated[tuple[Seconds, ...], Field(max_length=32)] = ()

    @model_validator(mode="after")
    def _passes_through_hbm(self) -> Self:
        if self.kv_tiers not in ("auto", ()) and HBM.name not in self.kv_tiers:
            raise ValueError(
                f"kv_tiers {list(self.kv_tiers)}: KV is written and read in HBM; name {HBM.name} too, or give []"
            )
        return self


class PinnedPool(Record):
    """A pool the user has settled; what is left open is optimised.

    Attributes
    ----------
    parallelism: the degrees that are settled.
    batch_per_rank: running sequences of an attention rank at most.
    """

    role: Role
    parallelism: dict[Dimension, Degree]
    device: str | None = None
    engine: Engine | None = None
    replicas: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    batch_per_rank: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    chunk_tokens: Tokens | None = None

    def fits(self, setup: Setup) -> bool:
        """Whether a setup has everything that was pinned."""
        degrees = setup.parallelism
        return (
            setup.role == self.role
            and self.engine in (None, setup.engine)
            and self.chunk_tokens in (None, setup.chunk_tokens)
            and all(getattr(degrees, name) == degree for name, degree in self.parallelism.items())
        )


class Constraints(Record):
    """Limits the user sets on the plan.

    Attributes
    ----------
    roles: roles that may be used (default: all).
    forbid: dimensions that must stay 1.
    max_tp: largest tensor-parallel degree.
    max_domains: scale-up domains (of HGX nodes: hosts) that a replica may spread over.
    measured_only: only mechanisms that a measured run had, such as pipelines or experts across domains.
    max_model_len: longest context an engine is told to accept [tokens].
    min_replicas: replicas of each pool at least.
    max_devices: devices in use at most.
    pools: pinned pools.
    other_pools: whether there may be pools beside the pinned ones.
    """

    roles: Annotated[tuple[Role, ...], Field(min_length=1)] | None = None
    forbid: tuple[Dimension, ...] = ()
    max_tp: Degree | None = None
    max_domains: Degree | None = None
    measured_only: bool = False
    max_model_len: Tokens | None = None
    min_replicas: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    max_devices: Degree | None = None
    pools: tuple[PinnedPool, ...] = ()
    other_pools: bool = True

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if not self.other_pools and not self.pools:
            raise ValueError("other_pools: false leaves nothing, since no pool is pinned; name one under pools")
        return self


class RecordedLoads(Record):
    """One recorded workload: how many tokens each expert was sent.

    Attributes
    ----------
    source: where it comes from, for people.
    loads: tokens by expert of every layer; layers without experts have zeros, or nothing.
    """

    source: str
    loads: tuple[tuple[Annotated[float, Field(ge=0)], ...], ...]


def _named_or_whole(entry: object) -> str:
    return "content" if isinstance(entry, dict | RecordedLoads) else "file"


#: A file of expert loads, or its content.
ExpertLoads = Annotated[
    Annotated[str, Tag("file")] | Annotated[RecordedLoads, Tag("content")], Discriminator(_named_or_whole)
]


def _engine(text: str) -> str:
    if text != "auto":
        try:
            engine_and_version(text)
        except UnknownName as error:
            raise ValueError(str(error)) from None
    return text


#: An engine, with or without a version (``vllm@0.32``), or ``auto``.
EngineChoice = Annotated[str, AfterValidator(_engine)]


class Scenario(Record):
    """Everything a solve depends on.

    Attributes
    ----------
    llm: what is served.
    cluster: ``{builder: ..., ...}``, ``{file: ...}``, ``{join: [...]}`` or ``{graph: ...}`` (node-link JSON).
    traffic, slo: to whom, and how fast.
    objective: ``cost`` meets the demand for the fewest USD/h; ``throughput`` serves most of the mix with the whole
    cluster.
    engine: whose rules and calibration hold, with a version where the current one is not meant (``vllm@0.32``); ``auto``
    solves for each and compares.
    billing: what is rented: single devices, whole hosts, or whole scale-up domains.
    owned: the whole cluster is a fixed cost.
    expert_loads: recorded workloads over which experts are placed: files (SGLang's ``logical_count`` JSON, CSV, .npy), or
    their content. Without any, the calibration's imbalance holds.
    price_basis: terms of the catalog's prices, the same for every device: ``on-demand``, ``reserved-3y`` or
    ``source:NAME``.
    prices: USD per device-hour by device name, and ``dram_usd_per_GB_hour``, ``flash_usd_per_GB_hour``; they win.
    calibration: path or content of a calibration file that replaces the packaged one.
    """

    llm: LLMSpec
    speculation: Speculation | None = None
    cluster: dict[str, Any]
    traffic: Traffic
    slo: SLO = SLO()
    objective: Literal["cost", "throughput"] = "cost"
    engine: EngineChoice = "vllm"
    options: Options = Options()
    constraints: Constraints = Constraints()
    billing: Literal["device", "host", "domain"] = "host"
    owned: bool = False
    expert_loads: Annotated[tuple[ExpertLoads, ...], Field(max_length=256)] = ()
    price_basis: PriceBasis = "on-demand"
    prices: dict[str, Price] = Field(default_factory=dict)
    calibration: str | dict[str, Any] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        roles = self.constraints.roles
        if roles is not None and "unified" not in roles and not {"prefill", "decode"} <= set(roles):
            raise ValueError(
                f"constraints.roles {list(roles)} can serve nothing: name 'unified', or 'prefill' and 'decode'"
            )
        self._pinned_engine()
        return self

    def _pinned_engine(self) -> None:
        """Pinned pools run on the scenario's engine, and all on one: KV caches are not handed over between engines."""
        pinned = {pool.engine for pool in self.constraints.pools if pool.engine is not None}
        allowed = pinned if self.engine == "auto" else set(self.engines)
        if len(pinned) > 1 or not pinned <= allowed:
            raise ValueError(
                f"constraints.pools pin {', '.join(sorted(pinned))}; engine is {self.engine}: a plan runs on one engine, so "
                f"write engine: {sorted(pinned)[0]}, or auto"
            )

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Engines to solve for: the one named, or every serving engine that the pinned pools allow."""
        if self.engine != "auto":
            return (engine_and_version(self.engine)[0],)
        pinned = {pool.engine for pool in self.constraints.pools if pool.engine is not None}
        return tuple(engine for engine in SERVING_ENGINES if not pinned or engine in pinned)

    @property
    def engine_version(self) -> str | None:
        """Version of the engine that is named; None for the current one."""
        return None if self.engine == "auto" else engine_and_version(self.engine)[1]

    @classmethod
    def from_mapping(cls, content: object, name: str) -> Scenario:
        """Read a parsed YAML or JSON document; ``name`` stands for it in errors.

        Raises
        ------
        BadInput: naming the path inside the document and what is wrong there.
        """
        if not isinstance(content, dict):
            raise BadInput(
                f"{name}: a scenario is a mapping with llm, cluster, traffic and slo, not {type(content).__name__}"
            )
        return read_record(cls, content, name)
