"""What one device does with one LLM's precision under one calibration: seconds per FLOP, per byte, per kernel.

A device's peaks and a calibration's shares meet only here, so that a step multiplies amounts of work by seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import FORMATS, Calibration, Kernel
from solver.llm import Dtype, Precision
from topologies import Device

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Peak:
    """Peak of matrix products in one format [FLOP/s].

    Attributes
    ----------
    own: of the device at hand; timed: of the device whose kernels were timed.
    """

    own: float
    timed: float

    def flop_s(self, share: float) -> float:
        """Seconds per FLOP of a kernel that reached a share of the peak where it was timed.

        What it lost there it loses here, in seconds, whatever the peak: a device with a seventh of the tensor cores, but
        the same memory, feeds them easily.

        >>> Peak(100.0, 100.0).flop_s(0.5) == 1 / 50, Peak(10.0, 100.0).flop_s(0.5) == 1 / 10 + 1 / 100
        (True, True)
        """
        return 1 / self.own + (1 / share - 1) / self.timed


@dataclass(frozen=True)
class Rate:
    """Seconds that a family of kernels takes; every array is (R,) or broadcasts to it.

    Attributes
    ----------
    flop: seconds per FLOP.
    byte: seconds per byte of weights or KV cache.
    move: seconds per byte of activations.
    launch: seconds per kernel.
    """

    flop: Floats
    byte: Floats
    move: Floats
    launch: Floats

    @classmethod
    def of(cls, kernel: Kernel, peak: Peak, hbm: float) -> Rate:
        """A kernel on a device of that peak and memory bandwidth [B/s]."""
        return cls(
            np.array([peak.flop_s(kernel.compute) / kernel.pace]),
            np.array([1 / (hbm * kernel.memory * kernel.pace)]),
            np.array([kernel.moves / hbm]),
            np.array([kernel.launch_s / kernel.pace]),
        )


@dataclass(frozen=True)
class Speeds:
    """Every speed that a step needs; arrays (R,) or (1,).

    Attributes
    ----------
    project_in, project_out, dense, shared, experts, plain: GEMMs of each part, and those in bf16 whatever the precision
        (router); attention: decode attention, prompt: prefill attention.
    latent_flop: seconds per FLOP of decode attention over MLA's latent; head_flop: of the output head.
    layer_s, activation_s, head_norm_s, recurrent_s: further kernels, see :class:`Calibration`.
    captured, prefill_launch, step_s, sequence_s, smoothness: as in :class:`Calibration`.
    scale_up, scale_out: bandwidth that one device reaches in one direction [B/s].
    all_reduce_s, all_reduce_growth, gather_s, dispatch_s, combine_s, hop_s: network floors.
    routing_scatter, routing_spread, prefill_share, lockstep, server_s, admission_s, admission_steps, first_token, clumping,
        burst_clumping: as in :class:`Calibration`.
    """

    project_in: Rate
    project_out: Rate
    dense: Rate
    shared: Rate
    experts: Rate
    plain: Rate
    attention: Rate
    prompt: Rate
    latent_flop: Floats
    head_flop: Floats
    layer_s: Floats
    activation_s: Floats
    head_norm_s: Floats
    recurrent_s: Floats
    captured: Floats
    prefill_launch: Floats
    step_s: Floats
    sequence_s: Floats
    smoothness: Floats
    scale_up: Floats
    scale_out: Floats
    all_reduce_s: Floats
    all_reduce_growth: Floats
    gather_s: Floats
    dispatch_s: Floats
    combine_s: Floats
    hop_s: Floats
    routing_scatter: Floats
    routing_spread: Floats
    prefill_share: Floats
    lockstep: Floats
    server_s: Floats
    admission_s: Floats
    admission_steps: Floats
    first_token: Floats
    clumping: Floats
    burst_clumping: Floats

    def admitted_s(self, felt: Floats | float = 1.0) -> Floats:
        """Seconds before a request's first step, of what company costs that share felt (R,)."""
        return np.asarray(self.server_s + self.admission_s * felt)

    @classmethod
    def of(
        cls, device: Device, precision: Precision, calibration: Calibration, scale_out: float | None = None
    ) -> Speeds:
        """Speeds of a device; ``scale_out`` overrides the bandwidth of its NICs [B/s]."""
        hbm, timed = device.hbm_bytes_per_s, _timed(device, calibration)
        bf16 = Peak(device.flops["bf16"], timed.flops["bf16"])

        def peak(dtype: Dtype) -> Peak:
            return Peak(_peak(device, dtype), _peak(timed, dtype))

        def gemm(dtype: Dtype) -> Rate:
            return Rate.of(getattr(calibration.gemm, kernel_format(dtype)), peak(dtype), hbm)

        experts = getattr(calibration.experts, kernel_format(precision.experts))
        # Prompt attention runs in the cache's format where that is fp8.
        gain = 1 + calibration.prompt_fp8 * (precision.kv_cache.element_bytes == 1)
        fabric = device.scale_out_bytes_per_s if scale_out is None else scale_out
        same = (
            *("layer_s", "activation_s", "head_norm_s", "recurrent_s", "captured", "prefill_launch"),
            *("step_s", "sequence_s", "smoothness", "all_reduce_s", "all_reduce_growth", "gather_s", "dispatch_s"),
            *("combine_s", "hop_s", "routing_scatter", "routing_spread", "prefill_share", "lockstep", "admission_s"),
            "server_s",
            *("admission_steps", "first_token", "clumping", "burst_clumping"),
        )
        taken: dict[str, Any] = {name: np.array([getattr(calibration, name)]) for name in same}
        return cls(
            project_in=gemm(precision.attention),
            project_out=gemm(precision.attention_output),
            dense=gemm(precision.dense),
            shared=gemm(precision.shared),
            experts=Rate.of(experts, peak(precision.experts), hbm),
            plain=Rate.of(calibration.gemm.bf16, bf16, hbm),
            attention=Rate.of(calibration.attention, bf16, hbm),
            prompt=Rate.of(calibration.prompt_attention, Peak(bf16.own * gain, bf16.timed * gain), hbm),
            latent_flop=np.array([bf16.flop_s(calibration.latent_compute) / calibration.attention.pace]),
            head_flop=np.array([bf16.flop_s(calibration.head_compute)]),
            scale_up=np.array([device.scale_up_bytes_per_s * calibration.scale_up]),
            scale_out=np.array([fabric * calibration.scale_out]),
            **taken,
        )

    @classmethod
    def stack(cls, parts: Sequence[Speeds], counts: Sequence[int]) -> Speeds:
        """One row per row of work: part i repeated ``counts[i]`` times."""

        def column(values: Sequence[Any]) -> Any:
            if isinstance(values[0], Rate):
                return Rate(*(column([getattr(v, f.name) for v in values]) for f in fields(Rate)))
            return np.repeat(np.concatenate(values), counts)

        return cls(**{f.name: column([getattr(part, f.name) for part in parts]) for f in fields(cls)})


def kernel_format(dtype: Dtype) -> str:
    """The format by which kernels are measured, of any dtype.

    >>> from solver.llm.dtypes import dtype
    >>> kernel_format(dtype("int4_g128")), kernel_format(dtype("mxfp8"))
    ('int4', 'fp8_block')
    """
    if dtype.name in FORMATS:
        return dtype.name
    if dtype.element_bytes < 1:
        return "int4"
    return "fp8_block" if dtype.element_bytes == 1 else "bf16"


#: Formats that the engines' kernels (Marlin) expand to bf16 on a generation, although it has the rate.
_EXPANDED = {"blackwell-rtx": ("mxfp4",)}


def _timed(device: Device, calibration: Calibration) -> Device:
    """The device whose kernels a calibration knows; the device itself where it belongs to another generation."""
    if not calibration.timed_on:
        return device
    timed = topologies.device(calibration.timed_on)
    return timed if timed.generation == device.generation else device


def _peak(device: Device, dtype: Dtype) -> float:
    """Peak of matrix products in a format on a device [FLOP/s]."""
    if dtype.name in _EXPANDED.get(device.generation, ()):
        return device.flops[dtype.fallback]
    return device.flops[dtype.rate(device.flops)]
