"""Calibrations: the few measured numbers that turn the roofline into an engine on a machine.

A calibration is a JSON file: for every parameter its value and what it was fitted on. ``ideal`` (every efficiency 1,
every overhead 0) is the textbook roofline.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any

from solver.errors import BadFile, UnknownName


def _parameter(ideal: float, unit: str, low: float, high: float, meaning: str) -> Any:
    return field(default=ideal, metadata={"unit": unit, "low": low, "high": high, "meaning": meaning})


@dataclass(frozen=True)
class Calibration:
    """Parameters of one engine on one generation of devices; the defaults are the ideal roofline.

    Each field's metadata holds its unit, its physical range and one sentence; :func:`parameters` lists them.
    """

    name: str = "ideal"
    engine: str = "ideal"
    generation: str = "any"
    fitted_on: str = "nothing: the textbook roofline"
    as_of: str = ""

    hbm_dense: float = _parameter(1, "1", 0.2, 1.1, "share of HBM bandwidth reached when reading dense weights")
    hbm_experts: float = _parameter(1, "1", 0.1, 1.3, "share of HBM bandwidth reached when reading expert weights")
    hbm_kv: float = _parameter(1, "1", 0.1, 1.2, "share of HBM bandwidth reached when reading the KV cache")
    hbm_fp4: float = _parameter(1, "1", 0.3, 1.0, "further factor on reading 4-bit weights, which must be unpacked")
    gemm_bf16: float = _parameter(1, "1", 0.05, 1.0, "share of peak FLOP/s of large bf16 GEMMs")
    gemm_fp8: float = _parameter(1, "1", 0.05, 1.0, "share of peak FLOP/s of large fp8 GEMMs")
    gemm_fp4: float = _parameter(1, "1", 0.05, 1.0, "share of peak FLOP/s of large fp4 GEMMs")
    gemm_int8: float = _parameter(1, "1", 0.05, 1.0, "share of peak operations/s of large int8 GEMMs")
    gemm_head: float = _parameter(1, "1", 0.05, 1.0, "share of bf16 peak of the output head's GEMM")
    grouped_gemm: float = _parameter(1, "1", 0.1, 1.2, "further factor on the FLOP/s of grouped expert GEMMs")
    attention_flops: float = _parameter(1, "1", 0.05, 1.0, "share of bf16 peak of the attention kernels")
    smoothness: float = _parameter(math.inf, "1", 1, math.inf, "p of the smooth maximum (compute^p + memory^p)^(1/p)")

    kernel_s: float = _parameter(0, "s", 0, 1e-3, "gap that each kernel adds to a decode step")
    prefill_kernel_s: float = _parameter(0, "s", 0, 1e-2, "further gap per kernel when a step carries prefill tokens")
    step_s: float = _parameter(0, "s", 0, 1e-1, "scheduler and sampler time of every step")
    sequence_s: float = _parameter(0, "s", 0, 1e-3, "host time per running sequence and step")
    admission_s: float = _parameter(
        0, "s", 0, 10, "closed-loop bursts: delay before a request is scheduled (not used in promises)"
    )

    scale_up: float = _parameter(1, "1", 0.1, 1.0, "share of scale-up bandwidth that collectives reach")
    scale_out: float = _parameter(1, "1", 0.1, 1.0, "share of scale-out bandwidth that transfers reach")
    all_reduce_s: float = _parameter(0, "s", 0, 1e-3, "launch and hop latency of a two-rank all-reduce")
    all_reduce_growth: float = _parameter(0, "1", 0, 2, "growth of that latency for each further rank")
    dispatch_s: float = _parameter(0, "s", 0, 1e-2, "floor of an expert dispatch across nodes")
    combine_s: float = _parameter(0, "s", 0, 1e-2, "floor of an expert combine across nodes")
    hop_s: float = _parameter(0, "s", 0, 1e-2, "latency of sending activations to the next pipeline stage")

    imbalance: float = _parameter(1, "1", 1, 8, "hottest expert rank over the mean where no expert loads are recorded")
    prefill_share: float = _parameter(
        1, "1", 0.1, 3, "share of a prefill chunk's extra time that running requests feel"
    )
    lockstep: float = _parameter(0, "1", 0, 1, "theta: dp ranks stall each other as dp^theta independent ranks would")
    queue_weight: float = _parameter(
        0, "1", 0, 100, "closed-loop bursts: wait per unit of prefill load (not used in promises)"
    )
    burst_share: float = _parameter(
        0, "1", 0, 2, "closed-loop bursts: share of the prompts ahead that a request waits for"
    )

    memory_fraction: float = _parameter(1, "1", 0.3, 1, "share of the usable HBM that the engine may fill")
    kv_share: float = _parameter(1, "1", 0.1, 1, "share of the HBM left over that the engine gives to the KV cache")
    runtime_bytes: float = _parameter(0, "B", 0, 50e9, "HBM of the runtime: context, libraries, allocator slack")
    collective_bytes: float = _parameter(0, "B", 0, 50e9, "HBM of the communicators, where a stage has several ranks")
    graph_bytes: float = _parameter(0, "B", 0, 50e9, "HBM of the captured graphs")
    activation_factor: float = _parameter(0, "1", 0, 100, "live activations in units of one hidden vector per token")

    tpot_sigma: float = _parameter(
        0, "1", 0, 3, "standard deviation of log(measured / predicted) TPOT left out of the fit"
    )
    ttft_sigma: float = _parameter(
        0, "1", 0, 3, "standard deviation of log(measured / predicted) TTFT left out of the fit"
    )

    @classmethod
    def from_json(cls, content: object, source: str) -> Calibration:
        """Read a calibration; parameters that it leaves out keep their ideal value.

        Raises
        ------
        BadFile: naming the parameter and its physical range.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("parameters"), Mapping):
            raise BadFile(f"{source}: a calibration is an object with name, engine, generation and parameters")
        known = parameters()
        values: dict[str, Any] = {
            key: str(content.get(key, "")) for key in ("name", "engine", "generation", "fitted_on", "as_of")
        }
        for key, entry in content["parameters"].items():
            if key not in known:
                raise BadFile(f"{source}: {UnknownName('parameter', key, known)}")
            values[key] = _checked(entry, known[key], f"{source}: parameters.{key}")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The file's content: labels, then value, unit and meaning of every parameter."""
        table = {
            key: {"value": getattr(self, key), "unit": data["unit"], "meaning": data["meaning"]}
            for key, data in parameters().items()
            if math.isfinite(getattr(self, key))
        }
        return {key: getattr(self, key) for key in ("name", "engine", "generation", "fitted_on", "as_of")} | {
            "parameters": table
        }

    def with_values(self, **values: float) -> Calibration:
        """The same calibration with some parameters changed."""
        return replace(self, **values)  # type: ignore[arg-type]


@cache
def parameters() -> dict[str, Mapping[str, Any]]:
    """Metadata (unit, low, high, meaning) of every parameter by name."""
    return {f.name: f.metadata for f in fields(Calibration) if f.metadata}


def _checked(entry: object, known: Mapping[str, Any], where: str) -> float:
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    if isinstance(value, bool) or not isinstance(value, int | float) or not known["low"] <= value <= known["high"]:
        raise BadFile(
            f"{where} = {str(value)[:40]}: {known['meaning']} lies in {known['low']:g}..{known['high']:g} {known['unit']}"
        )
    return float(value)


@cache
def _packaged() -> dict[tuple[str, str], Calibration]:
    folder = files(__package__).joinpath("calibrations")
    found = [
        Calibration.from_json(json.loads(entry.read_text(encoding="utf-8")), entry.name)
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".json")
    ]
    return {(c.engine, c.generation): c for c in found}


#: Generations without a calibration of their own borrow the one that resembles them most.
_BORROWS = {"ampere": "hopper", "ada": "hopper", "rubin": "blackwell"}


def packaged(engine: str, generation: str) -> tuple[Calibration, str | None]:
    """The packaged calibration of an engine on a device generation, and why it extrapolates (None if it does not).

    Raises
    ------
    UnknownName: no calibration of that engine.
    """
    if engine == "ideal":
        return Calibration(), None
    table = _packaged()
    if (engine, generation) in table:
        return table[engine, generation], None
    if engine not in {e for e, _ in table}:
        raise UnknownName("engine", engine, sorted({e for e, _ in table} | {"ideal"}))
    lender = _BORROWS.get(generation, "hopper")
    return table[
        engine, lender
    ], f"{engine} was not measured on {generation} devices; its {lender} calibration stands in"
