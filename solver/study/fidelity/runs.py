"""Measured serving runs from a CSV file: one line per run of a load generator against one deployment."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

import topologies
from solver.engines import engine_rules
from solver.errors import BadFile, BadInput
from solver.llm import LLM
from solver.llm.catalog import names as catalog_names
from solver.replica import Engine, Parallelism, Role, Setup
from solver.study.fidelity.measured import RunFamily
from solver.workload.fields import Record, read_record
from solver.workload.files import MOST_BYTES, read_text

Floats = NDArray[np.float64]

#: Prompt tokens in one step of a rank, where a run does not say.
CHUNK_TOKENS = 8192
#: Memory fraction that nobody exceeds who means to keep serving, where a run does not say.
MOST_FRACTION = 0.95
#: More bad lines than this share, and the file is something else.
MOST_BAD = 0.2


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


class MeasuredRun(Record):
    """One measured run. Latencies are medians [ms]; lengths are the means served [tokens].

    Attributes
    ----------
    id: any text; the number of the line without.
    precision: format of the weights: ``bf16``, ``fp8``, ``nvfp4``, ``mxfp4``, ... or ``checkpoint``.
    concurrency: requests in flight.
    tp, dp, pp, ep, moe_tp: degrees of a unified replica.
    burst_arrival: 1 where all requests were started at once.
    max_running: requests that the engine was told to run on a rank at most; its default if left out.
    memory_fraction: as the engine was told it; if left out, the most that people set.
    draft_tokens, acceptance_length: tokens drafted per step and tokens that a step yields; ``auto`` = not recorded.
    prefill_tp ...: pools of a disaggregated deployment; ``decode_tp`` makes a run one.
    """

    id: str = ""
    llm: str
    device: str
    engine: Engine
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
    memory_fraction: _Share | None = None
    draft_tokens: _Whole | Literal["auto"] = 0
    acceptance_length: _Positive = 1.0
    prefill_tp: _Degree | None = None
    prefill_dp: _Degree = 1
    prefill_ep: _Degree = 1
    prefill_replicas: _Degree = 1
    decode_tp: _Degree | None = None
    decode_dp: _Degree = 1
    decode_ep: _Degree = 1
    decode_replicas: _Degree = 1

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
            return Setup(role, self.engine, shape, domains, chunk_tokens=self.chunk_tokens, draft_tokens=drafts)

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


def read_runs(path: str) -> Runs:
    """Read a CSV of measured runs. Columns that are not known are left alone; lines that cannot be read are named.

    Raises
    ------
    BadFile: no such file, no header, a column missing, or more than a fifth of the lines unreadable.
    """
    rows = csv.DictReader(io.StringIO(read_text(Path(path), MOST_BYTES)))
    names = [name or "" for name in rows.fieldnames or []]
    needed = [name for name, field in MeasuredRun.model_fields.items() if field.is_required()]
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadFile(f"{path}: no column {', '.join(missing)}; a table of runs needs {', '.join(needed)}")
    found: list[MeasuredRun] = []
    skipped: list[str] = []
    try:
        for line, row in enumerate(rows, start=2):
            content = {
                k: v.strip() for k, v in row.items() if k in MeasuredRun.model_fields and isinstance(v, str) and v.strip()
            }
            content.setdefault("id", f"line {line}")
            try:
                found.append(_known(read_record(MeasuredRun, content, f"{path}, line {line}")))
            except BadInput as error:
                skipped.append(str(error))
    except csv.Error as error:
        raise BadFile(f"{path}: not a CSV file: {error}") from None
    if not found:
        raise BadFile(f"{path}: no run could be read" + (f"; {skipped[0]}" if skipped else ""))
    if len(skipped) > MOST_BAD * (len(skipped) + len(found)):
        raise BadFile(
            f"{path}: {len(skipped)} of {len(skipped) + len(found)} lines cannot be read; the first: {skipped[0]}"
        )
    return Runs(path, tuple(found), tuple(skipped))


def _known(run: MeasuredRun) -> MeasuredRun:
    """The run, if its names are known."""
    topologies.device(run.device)
    if run.draft_tokens == "auto" and not run.disaggregated:
        raise BadInput(f"{run.id}: a unified run needs its number of draft_tokens")
    served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache)
    return run


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
    """Unified runs grouped for :class:`solver.study.fidelity.measured.Table`, and the position of each in ``runs`` (R,)."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, run in enumerate(runs.runs):
        if not run.disaggregated:
            key = (run.llm, run.precision, run.engine, run.device, run.kv_cache)
            groups.setdefault(key, []).append(position)
    parts = [_served(key, [runs.runs[p] for p in positions]) for key, positions in groups.items()]
    return parts, np.array([p for positions in groups.values() for p in positions], int)


def _served(key: tuple[str, ...], runs: list[MeasuredRun]) -> RunFamily:
    llm = served_llm(*key)

    def column(name: str) -> Floats:
        return np.array([float(getattr(run, name)) for run in runs])

    return RunFamily(
        llm=llm,
        device=topologies.device(runs[0].device),
        engine=runs[0].engine,
        setups=tuple(run.setup(llm) for run in runs),
        concurrency=column("concurrency"),
        prompt=column("prompt_tokens"),
        output=column("output_tokens"),
        burst=(column("burst_arrival") > 0).astype(float),
        accepted=column("acceptance_length"),
        cache_known=bool(runs[0].kv_cache),
        most=np.array([float(run.max_running or engine_rules(run.engine).max_sequences) for run in runs]),
    )


def measured(runs: Runs, name: str) -> Floats:
    """A measured column (R,), NaN where a run lacks it."""
    values = [getattr(run, name) for run in runs.runs]
    return np.array([math.nan if value is None else float(value) for value in values])
