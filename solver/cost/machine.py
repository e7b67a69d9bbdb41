"""What a device can do for an LLM in its precision: peak rates by block, before any calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.llm import Dtype, Precision
from topologies import Device

Floats = NDArray[np.float64]
_RATES = ("bf16", "fp8", "fp4", "int8")


@dataclass(frozen=True)
class Machine:
    """Peaks of a device for each block of a step; every array is (R,) or broadcasts to it.

    Attributes
    ----------
    project_in, project_out, dense, shared, expert: peak [FLOP/s] of the GEMM and index of its rate in bf16, fp8, fp4,
    int8.
    bf16: peak of attention, router and head [FLOP/s].
    hbm: memory bandwidth [B/s].
    project_fp4, dense_fp4, shared_fp4, expert_fp4: 1 where those weights are 4-bit.
    scale_up, scale_out: bandwidth of one device in one direction [B/s].
    """

    project_in: Floats
    project_in_rate: NDArray[np.intp]
    project_out: Floats
    project_out_rate: NDArray[np.intp]
    dense: Floats
    dense_rate: NDArray[np.intp]
    shared: Floats
    shared_rate: NDArray[np.intp]
    expert: Floats
    expert_rate: NDArray[np.intp]
    bf16: Floats
    hbm: Floats
    project_fp4: Floats
    dense_fp4: Floats
    shared_fp4: Floats
    expert_fp4: Floats
    scale_up: Floats
    scale_out: Floats

    @classmethod
    def of(cls, device: Device, precision: Precision, scale_out: float | Floats | None = None) -> Machine:
        """Peaks of ``device`` for weights in ``precision``; ``scale_out`` overrides the device's NICs [B/s]."""
        parts = {
            "project_in": precision.attention,
            "project_out": precision.attention_output,
            "dense": precision.dense,
            "shared": precision.shared,
            "expert": precision.experts,
        }
        table: dict[str, Floats | NDArray[np.intp]] = {}
        for part, dtype in parts.items():
            rate = dtype.rate(device.flops)
            table[part] = np.array([device.flops[rate]])
            table[f"{part}_rate"] = np.array([_RATES.index(rate)])
        four_bit = {
            "project": precision.attention,
            "dense": precision.dense,
            "shared": precision.shared,
            "expert": precision.experts,
        }
        table |= {f"{part}_fp4": np.array([float(_is_fp4(dtype))]) for part, dtype in four_bit.items()}
        return cls(
            **table,  # type: ignore[arg-type]
            bf16=np.array([device.flops["bf16"]]),
            hbm=np.array([device.hbm_bytes_per_s]),
            scale_up=np.array([device.scale_up_bytes_per_s]),
            scale_out=np.atleast_1d(
                np.asarray(device.scale_out_bytes_per_s if scale_out is None else scale_out, float)
            ),
        )

    @classmethod
    def stack(cls, machines: Sequence[Machine], counts: Sequence[int]) -> Machine:
        """One row per row of work: machine i repeated ``counts[i]`` times."""
        return cls(
            **{
                f.name: np.concatenate(
                    [np.repeat(getattr(m, f.name), n) for m, n in zip(machines, counts, strict=True)]
                )
                for f in fields(cls)
            }
        )


def gemm_efficiency(calibration: Calibration, rate: NDArray[np.intp]) -> Floats:
    """Share of peak that a GEMM at that rate reaches (R,)."""
    table = [calibration.gemm_bf16, calibration.gemm_fp8, calibration.gemm_fp4, calibration.gemm_int8]
    return np.select([rate == index for index in range(4)], table)


def _is_fp4(dtype: Dtype) -> bool:
    return dtype.element_bytes < 1
