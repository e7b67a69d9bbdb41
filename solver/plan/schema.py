"""The plan: what to deploy, where every rank sits, what it will cost and how fast it will be.

``rackplan schema`` publishes it as JSON Schema. Reading is strict: an unknown key, a wrong type or another major
version is an error that names the path inside the file.
"""

from __future__ import annotations

from os import PathLike
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, field_validator

from solver.plan import files
from solver.replica import Engine, Parallelism, Role, Setup
from solver.workload import Scenario
from solver.workload.fields import Record, read_record
from solver.workload.kv_tiers import TIERS, KVTierName
from solver.workload.measures import Measure
from solver.workload.scenario import Degree as ParallelDegree
from topologies.writing import write_file

SCHEMA_VERSION = "2.0"

#: Limits on what a file may claim, far above any real figure, so that the witness's arithmetic cannot overflow.
MOST_AMOUNT = 1e30
MOST_COUNT = 2**40

#: A plan is written by a program: numbers in quotes are none.
Figure = Annotated[float, Strict()]
Portion = Annotated[Figure, Field(ge=0, le=1)]
Amount = Annotated[Figure, Field(ge=0, le=MOST_AMOUNT, allow_inf_nan=False)]
Flow = Annotated[Figure, Field(ge=1e-12, le=MOST_AMOUNT, allow_inf_nan=False)]
Whole = Annotated[int, Strict(), Field(ge=0, le=MOST_COUNT)]
Degree = Annotated[int, Strict(), Field(ge=1, le=MOST_COUNT)]
#: Names of pools become names of files, scripts and services.
PoolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


class Objective(Record):
    """What the plan costs, and what no plan can undercut under the cost model.

    Attributes
    ----------
    usd_per_million_output_tokens, usd_per_million_tokens, usd_per_hour: of the planned traffic.
    bound: proven lower bound on ``usd_per_million_output_tokens``.
    gap: (usd_per_million_output_tokens - bound) / usd_per_million_output_tokens.
    least: the least cost of any plan that was found and accepted [USD per million output tokens]; its distance from the bound
        decides the status.
    simplicity_cost: share by which the plan costs more than that, because it is simpler (``options.simplicity``).
    interval_80: the range of usd_per_million_output_tokens that holds in 80 % of the draws: rent over what is served within
        the promises.
    """

    usd_per_million_output_tokens: Amount
    usd_per_million_tokens: Amount
    usd_per_hour: Amount
    bound: Amount
    gap: Portion
    least: Amount
    simplicity_cost: Portion
    interval_80: tuple[Amount, Amount]

    @property
    def least_usd_per_hour(self) -> float:
        """Rent of the cheapest plan that was found [USD/h]."""
        return self.usd_per_hour / (1 + self.simplicity_cost)

    @property
    def least_gap(self) -> float:
        """(least - bound) / least: what the search for the least cost left open."""
        return 1 - self.bound / self.least if self.least else 0.0


class PoolDegrees(Record):
    """Degrees of parallelism; see :class:`solver.replica.Parallelism`."""

    tp: ParallelDegree = 1
    pp: ParallelDegree = 1
    ep: ParallelDegree = 1
    dp: ParallelDegree = 1
    moe_tp: ParallelDegree = 1
    cp: ParallelDegree = 1

    @classmethod
    def of(cls, shape: Parallelism) -> PoolDegrees:
        """The record of a shape."""
        return cls(tp=shape.tp, pp=shape.pp, ep=shape.ep, dp=shape.dp, moe_tp=shape.moe_tp, cp=shape.cp)

    def shape(self) -> Parallelism:
        """The shape of this record."""
        return Parallelism(**self.model_dump())


class Limits(Record):
    """What the engine must be told.

    Attributes
    ----------
    max_sequences: running sequences of one attention rank.
    max_batched_tokens: tokens of one step of one attention rank.
    memory_fraction: share of the HBM that the engine may fill, as the engine counts it.
    captured_batch_sizes: batch sizes to capture as graphs.
    max_length: longest context accepted [tokens].
    """

    max_sequences: Degree
    max_batched_tokens: Degree
    memory_fraction: Annotated[Figure, Field(gt=0, le=1)]
    captured_batch_sizes: tuple[Degree, ...]
    max_length: Degree


class Memory(Record):
    """Memory ledger of the fullest rank [bytes]; the parts never exceed the capacity.

    Attributes
    ----------
    kv_bytes: KV cache of the largest batch that the plan counts on (99 % of the time).
    idle_kv_bytes: KV cache that waits for later turns, and shared prefixes.
    reserve_bytes: runtime, libraries and captured graphs.
    capacity_bytes: HBM that the engine may fill.
    """

    weights_bytes: Amount
    kv_bytes: Amount
    activation_bytes: Amount
    buffer_bytes: Amount
    reserve_bytes: Amount
    capacity_bytes: Amount
    idle_kv_bytes: Amount = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """What fills the rank, in the words of drawings and summaries [bytes]."""
        return {
            "weights": self.weights_bytes,
            "KV cache": self.kv_bytes,
            "idle KV": self.idle_kv_bytes,
            "activations": self.activation_bytes,
            "buffers": self.buffer_bytes,
            "reserve": self.reserve_bytes,
        }

    @property
    def used_bytes(self) -> float:
        """All parts together."""
        return sum(self.parts.values())


class Stage(Record):
    """One pipeline stage: its layers (first and last, both included, counted from 0), device and tensor parallelism."""

    layers: tuple[Whole, Whole]
    device: str
    tp: Degree


class Roofline(Record):
    """What the parts of one step at the operating point would take alone [s]; they overlap.

    Attributes
    ----------
    bound_by: the largest of the four.
    """

    compute_s: Amount
    memory_s: Amount
    network_s: Amount
    overhead_s: Amount
    bound_by: Literal["compute", "memory", "network", "overhead"]


class MechanismRuns(Record):
    """A mechanism that a price rests on, and the measured runs that had it: under any engine, and under the pool's."""

    mechanism: str
    runs: Whole
    engine_runs: Whole


class Pool(Record):
    """Replicas of one setup for the classes that it serves.

    Attributes
    ----------
    name: how placement, routing and experts refer to it.
    engine_version: whose rules hold.
    connector: how KV caches go from prefill to decode replicas, by the engine's name for it; None in a unified pool.
    serves: names of the request classes.
    domains_per_replica, hosts_per_replica, prompts_per_step, chunk_tokens, draft_tokens, redundant_experts, overlap, stages: as
        :class:`solver.replica.Setup` has them.
    batch_per_rank: mean running sequences of an attention rank at the planned load (decode, unified), or prompts in
        service.
    imbalance: hottest expert rank over the mean that the prices assume.
    utilisation: share of the time that the bottleneck is busy at the planned load.
    step_s: mean step at the planned load.
    requests_per_s_per_replica, tokens_per_s_per_replica: planned load; prompt tokens for prefill, output tokens
        otherwise.
    capacity_requests_per_s_per_replica: the most it serves within the promises.
    rests_on: what its price rests on, with the runs behind each.
    """

    name: PoolName
    role: Role
    engine: Engine
    engine_version: str
    connector: str | None = None
    device: str
    serves: tuple[str, ...]
    parallelism: PoolDegrees
    replicas: Degree
    domains_per_replica: Degree
    hosts_per_replica: Degree
    batch_per_rank: Amount
    prompts_per_step: Degree
    chunk_tokens: Degree
    draft_tokens: Whole
    redundant_experts: Whole
    imbalance: Annotated[Figure, Field(ge=1, le=MOST_AMOUNT)]
    overlap: bool
    limits: Limits
    utilisation: Portion
    step_s: Amount
    requests_per_s_per_replica: Amount
    tokens_per_s_per_replica: Amount
    capacity_requests_per_s_per_replica: Amount
    memory: Memory
    stages: tuple[Stage, ...]
    roofline: Roofline
    rests_on: tuple[MechanismRuns, ...]

    def setup(self) -> Setup:
        """How each of its replicas is set up."""
        return Setup(
            role=self.role,
            engine=self.engine,
            parallelism=self.parallelism.shape(),
            domains=self.domains_per_replica,
            hosts=self.hosts_per_replica,
            redundant_experts=self.redundant_experts,
            stages=tuple(stage.layers for stage in self.stages),
            chunk_tokens=self.chunk_tokens,
            prompts_per_step=self.prompts_per_step,
            draft_tokens=self.draft_tokens,
            overlap=self.overlap,
            engine_version=self.engine_version,
            memory_fraction=self.limits.memory_fraction,
        )

    @property
    def devices(self) -> int:
        """Devices of the whole pool."""
        return self.replicas * self.parallelism.shape().devices

    @property
    def fullness(self) -> float:
        """Planned load over the most that it serves within the promises."""
        return self.requests_per_s_per_replica / self.capacity_requests_per_s_per_replica


class Placed(Record):
    """One rank: ``rank`` counts the attention ranks of its stage, ``device`` is a vertex of the cluster graph."""

    pool: str
    replica: Whole
    rank: Whole
    stage: Whole
    device: str


class LayerMap(Record):
    """Which expert each physical slot of one layer holds; successive runs of slots belong to successive ranks."""

    pool: str
    layer: Whole
    physical_to_logical: tuple[Whole, ...]


class KVTier(Record):
    """Where the idle KV of one class waits: ages at which it leaves each tier, and what that comes to.

    A tier that ends at the age at which the one before ends is not used; after the last, KV is dropped.

    Attributes
    ----------
    pool: whose ranks keep it.
    hit_rate: share of the class's requests that find their session's history; hit_rate_by_tier: where.
    found_tokens: private tokens that a hit finds; stored_tokens: that every request leaves behind.
    caches: caches among which a session's next turn lands at random, at most; 1 where it returns to its own.
    write_back: decode pools send generated tokens to the pool.
    bytes: idle KV by tier, on average [bytes]; shared_bytes: prefixes of the class, a copy in every cache.
    bytes_per_s: loaded from and written to each tier [B/s].
    usd_per_hour: what the memory costs by tier, beside the rent of devices and hosts.
    load_s: time to load a history from the slowest tier that is used [s].
    spared_prefill_devices: devices that would prefill what hits find.
    """

    request_class: str = Field(alias="class")
    pool: str = ""
    hbm_until_s: Amount
    dram_until_s: Amount
    flash_until_s: Amount
    remote_until_s: Amount = 0.0
    hit_rate: Portion
    hit_rate_by_tier: dict[KVTierName, Portion] = Field(default_factory=dict)
    found_tokens: Whole = 0
    stored_tokens: Whole = 0
    caches: Degree = 1
    write_back: bool = False
    bytes: dict[KVTierName, Amount]
    shared_bytes: Amount = 0.0
    bytes_per_s: dict[KVTierName, Amount] = Field(default_factory=dict)
    usd_per_hour: dict[KVTierName, Amount] = Field(default_factory=dict)
    load_s: Amount = 0.0
    spared_prefill_devices: Amount = 0.0

    @property
    def until_s(self) -> dict[KVTierName, float]:
        """Ages at which KV leaves each tier, nearest tier first."""
        return {tier.name: getattr(self, tier.until_field) for tier in TIERS}


class LinkLoad(Record):
    """One direction of a loaded link [B/s]."""

    source: str
    target: str
    fabric: str
    bytes_per_s: Amount
    bandwidth_bytes_per_s: Amount
    utilisation: Amount


class Latency(Record):
    """Predicted latency and rate, of a class or of all of them.

    Plans that were made before a figure was predicted have None in its place.

    Attributes
    ----------
    ttft_p50_s, ...: as :class:`~solver.workload.SLO` has them, promised or not [s].
    interval_80: the range of each figure that holds in 80 % of the draws of what predictions may be off by
        (:mod:`solver.cost.surprises`); of rates, of what is served within the promises.
    """

    ttft_p50_s: Amount
    ttft_p95_s: Amount
    ttft_p99_s: Amount | None = None
    ttft_mean_s: Amount | None = None
    tpot_p50_s: Amount
    tpot_p95_s: Amount
    tpot_p99_s: Amount | None = None
    tpot_mean_s: Amount | None = None
    itl_p50_s: Amount | None = None
    itl_p95_s: Amount | None = None
    itl_p99_s: Amount | None = None
    itl_mean_s: Amount | None = None
    e2e_p50_s: Amount | None = None
    e2e_p95_s: Amount | None = None
    e2e_p99_s: Amount | None = None
    e2e_mean_s: Amount | None = None
    output_tokens_per_s: Flow
    output_tokens_per_s_per_device: Flow
    requests_per_s: Flow
    interval_80: dict[str, tuple[Amount, Amount]]

    def figure(self, measure: Measure) -> float | None:
        """What is predicted of a measure [s]; None where the plan does not tell."""
        found: float | None = getattr(self, measure.field)
        return found


class Prediction(Latency):
    """Prediction over all traffic, and per class.

    Attributes
    ----------
    confidence: share of the draws in which all promises hold at once.
    extrapolated: why the cost model should be trusted less here; empty where it was measured nearby.
    """

    classes: dict[str, Latency]
    confidence: Portion
    extrapolated: tuple[str, ...]


class Alternative(Record):
    """A structurally different plan, and why the chosen one is better."""

    summary: str
    usd_per_million_output_tokens: Amount
    usd_per_hour: Amount
    pools: tuple[Pool, ...]


class Odds(Record):
    """How good a choice a plan is among a plan and its rivals, by what all of them cost in the same draws.

    Attributes
    ----------
    best: share of the draws in which it is the cheapest; equals divide them.
    regret: what it is expected to cost more than the cheapest of them would, over the cost of the plan.
    """

    best: Portion
    regret: Amount


class Rival(Record):
    """The best plan of another structure, solved by itself under the same promises.

    Attributes
    ----------
    structure: what it was restricted to, in words.
    status: ``optimal`` or ``feasible`` by its own bound; ``infeasible`` (proven) or ``unknown`` where there is no plan.
    usd_per_million_output_tokens, usd_per_hour, bound: of the plan, and what none of this structure undercuts; None without.
    interval_80: the range of the cost that holds in 80 % of the draws. odds: as the choice.
    ttft_p95_s, tpot_p95_s: predicted, over all requests [s].
    devices: in use. layout: its pools, in words.
    untried: mechanisms that no measured run had. needs: what it needs beside devices.
    """

    structure: str
    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    usd_per_million_output_tokens: Amount | None = None
    usd_per_hour: Amount | None = None
    bound: Amount | None = None
    interval_80: tuple[Amount, Amount] | None = None
    odds: Odds | None = None
    ttft_p95_s: Amount | None = None
    tpot_p95_s: Amount | None = None
    devices: Whole = 0
    layout: str = ""
    untried: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Margin(Record):
    """What is left of what a class is sold for.

    Attributes
    ----------
    revenue_usd_per_hour: its output tokens at its price.
    cost_usd_per_hour: its part of the rent, by the work that it brings to each pool, and of the memory it waits in.
    margin: (revenue - cost) / revenue.
    """

    request_class: str = Field(alias="class")
    revenue_usd_per_hour: Amount
    cost_usd_per_hour: Amount
    margin: Figure


class Binding(Record):
    """A rule that limits the plan.

    Attributes
    ----------
    rule: its name.
    because: one sentence for a person.
    slack: what is left before it is broken, as a share of its limit.
    """

    rule: str
    because: str
    slack: Figure


class Confirmation(Record):
    """What a replay of the plan showed.

    Attributes
    ----------
    kept: whether every promise held, with a margin for chance.
    seeds, requests: of the replays of drawn traffic, and recorded in each. traces: names of those replayed instead.
    simulated: latencies of all requests, means over the replays [s]; classes: the same of every class.
    derating: by class and promise, the share of its limit that the program was asked for; empty where none was needed.
    cost_rise: cost per output token over the plan without derating, minus 1.
    """

    kept: bool
    seeds: tuple[Whole, ...]
    requests: Degree
    traces: tuple[str, ...] = ()
    simulated: dict[str, Amount]
    classes: dict[str, dict[str, Amount]]
    derating: dict[str, dict[str, Annotated[Figure, Field(gt=0, le=1)]]]
    cost_rise: Figure


class Provenance(Record):
    """What the plan was made with; no time of day, so that a seeded plan is byte-identical.

    Attributes
    ----------
    bound_over: the set of choices over which the bound holds.
    """

    versions: dict[str, str]
    calibrations: dict[str, dict[str, Any]]
    seed: Annotated[int, Strict()] | None
    inputs: dict[str, str]
    profiles: dict[str, int]
    bound_over: str


class Plan(Record):
    """A complete, checkable answer to a scenario.

    Attributes
    ----------
    margins: of the classes that have a price.
    rivals: best plans of other structures, where they were asked for. odds: of the plan among them.
    """

    schema_version: str
    scenario: Scenario
    status: Literal["optimal", "feasible"]
    objective: Objective
    pools: tuple[Pool, ...]
    placement: tuple[Placed, ...]
    experts: tuple[LayerMap, ...]
    kv_tiers: tuple[KVTier, ...]
    links: tuple[LinkLoad, ...]
    prediction: Prediction
    routing: dict[str, dict[Role, dict[str, Portion]]]
    margins: tuple[Margin, ...] = ()
    alternatives: tuple[Alternative, ...]
    rivals: tuple[Rival, ...] = ()
    odds: Odds | None = None
    binding: tuple[Binding, ...]
    provenance: Provenance
    confirmation: Confirmation | None = None

    @field_validator("schema_version")
    @classmethod
    def _same_major(cls, version: str) -> str:
        numbers = version.split(".")
        if numbers[0] != SCHEMA_VERSION.split(".")[0] or not all(number.isdecimal() for number in numbers):
            raise ValueError(
                f"this is schema version {version[:20]}; this rackplan reads version {SCHEMA_VERSION}. Solve its scenario "
                "again: rackplan solve PLAN.json -o PLAN.json"
            )
        return version

    def pool(self, name: str) -> Pool:
        """The pool of that name."""
        return next(pool for pool in self.pools if pool.name == name)

    @property
    def devices(self) -> int:
        """Devices in use."""
        return sum(pool.devices for pool in self.pools)

    def dumps(self) -> str:
        """The plan as JSON text: sorted as declared, floats in their shortest exact form."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the plan as JSON, the same bytes for the same plan."""
        write_file(path, self.dumps())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a plan strictly.

        Raises
        ------
        BadFile: no such file, not JSON, or not a plan of this major version.
        BadInput: a wrong key or value; names the path inside the file.
        """
        return read_record(cls, files.read(path, SCHEMA_VERSION), str(path))
