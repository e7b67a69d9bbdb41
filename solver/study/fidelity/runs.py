"""Measured serving runs from a CSV or JSON file: one row per run of a load generator against one deployment."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

import topologies
from solver.engines import engine_rules
from solver.engines.memory import MOST_FRACTION
from solver.errors import BadFile, BadInput
from solver.llm import LLM
from solver.llm.catalog import names as catalog_names
from solver.replica import Engine, Parallelism, Role, Setup
from solver.study.fidelity.measured import Apart, RunFamily
from solver.study.fidelity.recipes import as_started
from solver.workload.fields import Record, read_record
from solver.workload.files import MOST_BYTES, read_text

Floats = NDArray[np.float64]

#: Prompt tokens in one step of a rank, where a run does not say.
CHUNK_TOKENS = 8192
#: Tokens that a step yields with 1, 2 and 3 drafts (DeepSeek-R1's MTP on B200), where a run does not say.
USUAL_ACCEPTANCE = {1: 1.92, 2: 2.58, 3: 2.82}
#: Collections whose records give medians without saying so, by the start of their ids; all others' behave like means
#: (33 runs that two collections share: TPOT equal to 1 %, TTFT of the medians 0.58 of the means).
MEDIANS = ("infmax-", "infxapp-")
#: What came out of a run.
FIGURES = ("ttft_ms", "tpot_ms", "tpot_p95_ms", "output_tokens_per_s_per_device")
#: Engines behind another name: Dynamo runs them as workers, MoRI is a transfer library under SGLang. ATOM is an engine of
#: its own for AMD devices without a calibration; SGLang's stands in.
STACKS: Mapping[str, Engine] = {
    "dynamo-trt": "trtllm",
    "dynamo-trtllm": "trtllm",
    "dynamo-sglang": "sglang",
    "dynamo-vllm": "vllm",
    "mori-sglang": "sglang",
    "atom": "sglang",
}


_RELEASE = re.compile(r"\d+\.\d+")
_VERSION = re.compile(r"(?<![\d.])(\d+)\.(\d+)\.(\d+)(rc\d+)?")


def _number(value: object) -> object:
    """Text of a CSV cell as a number; whole numbers may be written 8.0."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number


_Degree = Annotated[int, BeforeValidator(_number), Field(ge=1, le=65536)]
_Whole = Annotated[int, BeforeValidator(_number), Field(ge=0, le=65536)]
_Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1e9, allow_inf_nan=False)]
_Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]

#: Stacks that are engines of their own, priced by another's calibration.
STANDS_IN = ("atom",)


def _statistic(value: object) -> object:
    """Records say ``median``, ``mean``, or ``mean?`` where it was found out by comparing."""
    return value.rstrip("?") if isinstance(value, str) else value


class MeasuredRun(Record):
    """One measured run. Latencies [ms]; lengths are the means served [tokens].

    Attributes
    ----------
    id: any text; the number of the line without.
    stack: what the record calls the engine, such as ``dynamo-trt``. engine_version, image, measured_on: of which, when.
    statistic: whether the latencies are means or medians; what is usual for the collection if left out.
    throughput_derived: not measured, but by Little's law.
    precision: format of the weights: ``bf16``, ``fp8``, ``nvfp4``, ``mxfp4``, ... or ``checkpoint``.
    concurrency: requests in flight.
    tp, dp, pp, ep, moe_tp: degrees of a unified replica.
    burst_arrival: 1 where all requests were started at once.
    max_running: requests that the engine was told to run on a rank (apart: of decode) at most; if left out, what the recipe of
        a public collection says, else the engine's default.
    poll_steps: decode steps from one look for new requests to the next (SGLang's ``--scheduler-recv-interval``); if left out,
        what the recipe of a public collection says, else 1.
    memory_fraction: as the engine was told it; if left out, the most that people set.
    draft_tokens, acceptance_length: tokens drafted per step and tokens that a step yields; ``auto`` = not recorded.
    prefill_tp ...: pools of a disaggregated deployment; ``decode_tp`` makes a run one.
    """

    id: str = ""
    llm: str
    device: str
    engine: Engine
    stack: str = ""
    engine_version: str = ""
    image: str = ""
    measured_on: str = ""
    statistic: Annotated[Literal["mean", "median"], BeforeValidator(_statistic)] = "mean"
    throughput_derived: bool = False
    precision: str = "checkpoint"
    kv_cache: str = ""
    prompt_tokens: _Positive
    output_tokens: _Positive
    concurrency: _Positive
    tp: _Degree = 1
    dp: _Degree = 1
    pp: _Degree = 1
    ep: _Degree = 1
    moe_tp: _Degree | None = None
    n_devices: _Degree | None = None
    ttft_ms: _Positive | None = None
    tpot_ms: _Positive | None = None
    tpot_p95_ms: _Positive | None = None
    output_tokens_per_s_per_device: _Positive | None = None
    burst_arrival: _Share = 0.0
    chunk_tokens: _Degree = CHUNK_TOKENS
    max_running: _Degree | None = None
    poll_steps: _Degree = 1
    memory_fraction: _Share | None = None
    draft_tokens: _Whole | Literal["auto"] = 0
    acceptance_length: _Positive | None = None
    prefill_tp: _Degree | None = None
    prefill_dp: _Degree = 1
    prefill_ep: _Degree = 1
    prefill_replicas: _Degree = 1
    decode_tp: _Degree | None = None
    decode_dp: _Degree = 1
    decode_ep: _Degree = 1
    decode_replicas: _Degree = 1

    @property
    def accepted(self) -> float:
        """Tokens that a step yields: as recorded, else what is usual with so many drafts."""
        drafts = 0 if self.draft_tokens == "auto" else min(self.draft_tokens, max(USUAL_ACCEPTANCE))
        return self.acceptance_length or USUAL_ACCEPTANCE.get(drafts, 1.0)

    @property
    def configuration(self) -> tuple[object, ...]:
        """All but when and how it was measured and what came out: repeats of one configuration agree in it."""
        without = {"id", "measured_on", "image", "engine_version", "statistic", "throughput_derived", *FIGURES}
        return tuple(getattr(self, name) for name in type(self).model_fields if name not in without)

    @property
    def release(self) -> str:
        """The engine's release: of the version or the image, else the month; empty where nothing was recorded.

        Two numbers of a version name a release, three of SGLang's (0.5.9), and a candidate is one (1.2rc6). What another
        engine stands in for is a release of that one.
        """
        if self.stack in STANDS_IN:
            return self.stack
        if _RELEASE.fullmatch(self.engine_version):
            return self.engine_version
        found = _VERSION.search(self.engine_version) or _VERSION.search(self.image.rpartition(":")[2])
        if not found:
            return self.measured_on[:7]
        *numbers, candidate = found.groups(default="")
        return ".".join(numbers[: 3 if self.engine == "sglang" else 2]) + candidate

    @property
    def version(self) -> str:
        """Engine and version, as far as recorded."""
        return f"{self.stack or self.engine} {self.engine_version}".strip()

    @property
    def load(self) -> str:
        """How many requests are in flight for each device of a replica, roughly."""
        replicas = (self.prefill_tp or 1) * self.prefill_dp * self.prefill_replicas
        decoding = (self.decode_tp or 0) * self.decode_dp * self.decode_replicas
        devices = replicas + decoding if self.disaggregated else self.n_devices or self.tp * self.dp * self.pp
        each = self.concurrency / devices
        return "below 1 a device" if each < 1 else "1 to 8 a device" if each <= 8 else "above 8 a device"

    @property
    def layout(self) -> str:
        """Kind of layout: which degrees exceed one."""
        if self.disaggregated:
            return "disaggregated, drafting" if self.draft_tokens else "disaggregated"
        kinds = [name for name in ("tp", "dp", "pp", "ep") if getattr(self, name) > 1]
        return "+".join(kinds) or "one device"

    @property
    def served(self) -> LLM:
        """The LLM in the precision that it was served in."""
        return served_llm(self.llm, self.precision, self.engine, self.device, self.kv_cache)

    @property
    def disaggregated(self) -> bool:
        """Whether prefill and decode ran in pools of their own."""
        return self.decode_tp is not None

    def setup(self, llm: LLM) -> Setup:
        """Setup of a unified replica, as the engine would start it.

        Where an expert's blocks cannot be cut into moe_tp shards, engines keep whole experts: expert parallelism.
        """
        shape = _shape(llm, self.tp, self.dp, self.pp, self.ep, self.moe_tp)
        drafts = 0 if self.draft_tokens == "auto" else self.draft_tokens
        fraction = self.memory_fraction or MOST_FRACTION
        return Setup(
            "unified", self.engine, shape, chunk_tokens=self.chunk_tokens, draft_tokens=drafts, memory_fraction=fraction
        )

    def pool_setups(self, llm: LLM, device: topologies.Device, draft_tokens: int = 0) -> tuple[Setup, Setup]:
        """Setups of a prefill and of a decode replica."""

        def setup(role: Role, tp: int | None, dp: int, ep: int, drafts: int) -> Setup:
            shape = _shape(llm, tp or 1, dp, 1, ep, None)
            domains = max(math.ceil(shape.ranks_per_stage / device.scale_up_domain), 1)
            return Setup(
                role, self.engine, shape, domains, chunk_tokens=self.chunk_tokens, draft_tokens=drafts,
                memory_fraction=self.memory_fraction or MOST_FRACTION,
            )  # fmt: skip

        prefill = setup("prefill", self.prefill_tp, self.prefill_dp, self.prefill_ep, 0)
        return prefill, setup("decode", self.decode_tp, self.decode_dp, self.decode_ep, draft_tokens)

    def devices(self, llm: LLM) -> int:
        """Devices of the deployment, as its pools or its replica add up to."""
        if self.disaggregated:
            prefill, decode = (s.parallelism.devices for s in self.pool_setups(llm, topologies.device(self.device)))
            return prefill * self.prefill_replicas + decode * self.decode_replicas
        return self.n_devices or self.setup(llm).parallelism.devices


def _shape(llm: LLM, tp: int, dp: int, pp: int, ep: int, moe_tp: int | None) -> Parallelism:
    if not llm.experts:
        return Parallelism(tp=tp, dp=dp, pp=pp)
    ranks = tp * dp
    shards = moe_tp or max(ranks // ep, 1)
    width = max(layer.ffn.expert_width for layer, _ in llm.layer_kinds)
    if shards > 1 and (width / shards) % llm.precision.experts.block:
        ep, shards = ranks, 1
    return Parallelism(tp=tp, dp=dp, pp=pp, ep=ep, moe_tp=shards)


@dataclass(frozen=True)
class Runs:
    """Runs of a file, and what could not be read.

    Attributes
    ----------
    skipped: one sentence for each line left out.
    """

    source: str
    runs: tuple[MeasuredRun, ...]
    skipped: tuple[str, ...]

    @classmethod
    def of(cls, files: Sequence[Runs]) -> Runs:
        """The runs of several files, one after the other."""
        return cls(
            ", ".join(Path(file.source).name for file in files),
            tuple(run for file in files for run in file.runs),
            tuple(line for file in files for line in file.skipped),
        )


def read_runs(path: str) -> Runs:
    """Read a CSV or JSON of measured runs. Columns that are not known are left alone; rows that cannot be read are named.

    Raises
    ------
    BadFile: no such file, no table of runs, a column missing, or no row that can be read.
    """
    text = read_text(Path(path), MOST_BYTES)
    found: list[MeasuredRun] = []
    skipped: list[str] = []
    for place, row in _json_rows(path, text) if path.endswith(".json") else _csv_rows(path, text):
        content = {"id": place} | {key: value for key, value in row.items() if key in MeasuredRun.model_fields}
        content.setdefault("image", row.get("engine_image", ""))
        called = str(content.get("engine", ""))
        content |= {"engine": STACKS.get(called, called), "stack": called}
        content.setdefault("statistic", "median" if str(content["id"]).startswith(MEDIANS) else "mean")
        try:
            found.append(recognised(read_record(MeasuredRun, content, f"{path}, {place}")))
        except BadInput as error:
            skipped.append(str(error))
    if not found:
        raise BadFile(f"{path}: no run could be read" + (f"; {skipped[0]}" if skipped else ""))
    return Runs(path, tuple(found), tuple(skipped))


def _csv_rows(path: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Filled cells of every line, and which line it is."""
    rows = csv.DictReader(io.StringIO(text))
    names = [name or "" for name in rows.fieldnames or []]
    needed = [name for name, field in MeasuredRun.model_fields.items() if field.is_required()]
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadFile(f"{path}: no column {', '.join(missing)}; a table of runs needs {', '.join(needed)}")
    try:
        for line, row in enumerate(rows, start=2):
            yield f"line {line}", {k: v.strip() for k, v in row.items() if isinstance(v, str) and v.strip()}
    except csv.Error as error:
        raise BadFile(f"{path}: not a CSV file: {error}") from None


def _json_rows(path: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What every record says, and which record it is; ``null`` says nothing."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: not JSON: {error}") from None
    records = content.get("runs") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise BadFile(f"{path}: a table of runs is a list of records, or an object with such a list under runs")
    for number, record in enumerate(records, start=1):
        known = record if isinstance(record, dict) else {}
        yield f"record {number}", {str(key): value for key, value in known.items() if value is not None}


def recognised(run: MeasuredRun) -> MeasuredRun:
    """The run with its names as the catalogs spell them.

    Raises
    ------
    BadInput: a name that is not known.
    """
    topologies.device(run.device)
    # Names as the catalogs spell them, so that folds and groups know each other's runs.
    run = run.model_copy(update={"llm": LLM.from_config(run.llm).name, "device": topologies.device(run.device).name})
    if run.draft_tokens == "auto" and not run.disaggregated:
        raise BadInput(f"{run.id}: a unified run needs its number of draft_tokens")
    served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache)
    told = as_started(run.model_dump())
    unsaid = [name for name in told if name not in run.model_fields_set or getattr(run, name) == "auto"]
    return run.model_copy(update={name: told[name] for name in unsaid})


@cache
def architecture(name: str) -> str:
    """The first LLM of the catalog with the same layers and widths: one fold, whatever their weights were trained on.

    >>> architecture("deepseek-v3.2"), architecture("deepseek-v3"), architecture("qwen3-32b")
    ('deepseek-r1', 'deepseek-r1', 'qwen3-32b')
    """

    def shape(llm: LLM) -> tuple[int, ...]:
        return llm.hidden, len(llm.layers), llm.vocab, llm.experts, llm.top_k

    known = shape(LLM.from_config(name))
    return next((other for other in catalog_names() if shape(LLM.from_config(other)) == known), name)


@cache
def served_llm(name: str, precision: str, engine: str, device: str, kv_cache: str = "") -> LLM:
    """The LLM in the precision that an engine serves it in.

    The published checkpoint in that precision where the catalog has one; TensorRT-LLM quantises bf16 checkpoints to one
    scale per tensor. KV caches are fp8 where the engine's recipes say so: with 4-bit weights, and with fp8 weights on
    TensorRT-LLM.
    """
    llm = LLM.from_config(name)
    main = llm.precision.experts if llm.experts else llm.precision.dense
    if precision not in ("checkpoint", main.name, main.name.split("_")[0]):
        published = [n for n in catalog_names() if n.startswith(name) and n.endswith(f"-{precision}")]
        per_tensor = engine == "trtllm" and precision == "fp8"
        llm = (
            LLM.from_config(published[0]) if published and not per_tensor else LLM.from_config(name, weights=precision)
        )
    return llm.with_precision(kv_cache=kv_cache or _usual_kv_cache(precision, engine, topologies.device(device)))


def _usual_kv_cache(precision: str, engine: str, device: topologies.Device) -> str:
    if precision == "nvfp4" or (precision in ("fp8", "mxfp4") and engine == "trtllm"):
        return "fp8"
    return "fp8" if precision == "mxfp4" and "fp4" in device.flops else "bf16"


def served(runs: Runs) -> tuple[list[RunFamily], NDArray[np.intp]]:
    """Unified runs grouped for :class:`solver.study.fidelity.measured.PricedRuns`, and the position of each in ``runs``
    (R,)."""
    groups, where = _grouped(runs, [position for position, run in enumerate(runs.runs) if not run.disaggregated])
    return [_served(members) for members in groups], where


def served_apart(runs: Runs, drafts: Callable[[MeasuredRun], int | None]) -> tuple[list[Apart], NDArray[np.intp]]:
    """Disaggregated runs grouped likewise, and the position of each in ``runs`` (R,).

    Parameters
    ----------
    drafts: tokens that a run is taken to draft per step; None leaves it out.
    """
    chosen = [
        position for position, run in enumerate(runs.runs) if run.disaggregated and drafts(run) is not None
    ]
    groups, where = _grouped(runs, chosen)
    return [_served_apart(members, [drafts(run) or 0 for run in members]) for members in groups], where


def _grouped(runs: Runs, chosen: Sequence[int]) -> tuple[list[list[MeasuredRun]], NDArray[np.intp]]:
    """Runs of one LLM, format, engine, release and device together, and where each stood."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for position in chosen:
        run = runs.runs[position]
        key = (run.llm, run.precision, run.engine, run.device, run.kv_cache, run.release)
        groups.setdefault(key, []).append(position)
    where = np.array([p for positions in groups.values() for p in positions], int)
    return [[runs.runs[p] for p in positions] for positions in groups.values()], where


def _column(runs: Sequence[MeasuredRun], name: str) -> Floats:
    return np.array([float(getattr(run, name)) for run in runs])


def _served(runs: Sequence[MeasuredRun]) -> RunFamily:
    first = runs[0]
    llm = served_llm(first.llm, first.precision, first.engine, first.device, first.kv_cache)
    return RunFamily(
        llm=llm,
        device=topologies.device(first.device),
        engine=first.engine,
        release=first.release,
        setups=tuple(run.setup(llm) for run in runs),
        concurrency=_column(runs, "concurrency"),
        prompt=_column(runs, "prompt_tokens"),
        output=_column(runs, "output_tokens"),
        burst=(_column(runs, "burst_arrival") > 0).astype(float),
        accepted=_column(runs, "accepted"),
        poll_steps=_column(runs, "poll_steps"),
        cache_known=bool(first.kv_cache),
        most=_most(runs),
    )


def _served_apart(runs: Sequence[MeasuredRun], drafts: Sequence[int]) -> Apart:
    first = runs[0]
    llm = served_llm(first.llm, first.precision, first.engine, first.device, first.kv_cache)
    device = topologies.device(first.device)
    pools = [run.pool_setups(llm, device, count) for run, count in zip(runs, drafts, strict=True)]
    accepted = [
        run.accepted if count == run.draft_tokens else USUAL_ACCEPTANCE.get(count, 1.0)
        for run, count in zip(runs, drafts, strict=True)
    ]
    return Apart(
        llm=llm,
        device=device,
        engine=first.engine,
        release=first.release,
        prefill=tuple(prefill for prefill, _ in pools),
        decode=tuple(decode for _, decode in pools),
        prefill_replicas=_column(runs, "prefill_replicas"),
        decode_replicas=_column(runs, "decode_replicas"),
        concurrency=_column(runs, "concurrency"),
        prompt=_column(runs, "prompt_tokens"),
        output=_column(runs, "output_tokens"),
        accepted=np.array(accepted),
        most=_most(runs),
    )


def _most(runs: Sequence[MeasuredRun]) -> Floats:
    """Requests that a rank was told to run at most, or its engine runs unless told (R,)."""
    return np.array([float(run.max_running or engine_rules(run.engine).max_sequences) for run in runs])


def measured(runs: Runs, name: str) -> Floats:
    """A measured column (R,), NaN where a run lacks it."""
    values = [getattr(run, name) for run in runs.runs]
    return np.array([math.nan if value is None else float(value) for value in values])
