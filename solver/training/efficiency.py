"""What training reaches of the peaks of a device, by generation: shares that kernels were measured to reach.

================  =============================================================================================
figure            where it comes from
================  =============================================================================================
matmul, core      single kernels: AIConfigurator 0.12.0 (Apache-2.0) on A100, H100, B200; GEMM by the square root of
                  n k, means over m >= 2048; causal attention by sequence, means over heads and batches
scale_up          NCCL all-gather of the largest message on eight devices, the same source
memory            the share that the same source takes for all of them
core_again        backward over forward rate of FlashAttention-2 on A100 (arXiv:2307.08691) and 3 on H100
                  (arXiv:2407.08608), head size 128, causal, 16k tokens
exchange_share    20 of 132 SMs send and receive (DeepSeek-V3, arXiv:2412.19437, section 3.2.2)
in_layer          what a GEMM reaches in training over what it reaches alone. A100: Korthikanti et al.
                  (arXiv:2205.05198), Table 4, the 22B layer on eight A100s, 7.2 ms forward. H100: Llama-3 405B on
                  8,192 devices (arXiv:2407.21783, Table 4, 430 TFLOP/s a device), which therefore tests nothing
network_again     the same layer of Korthikanti's, 11.8 ms backward with sequence parallelism
================  =============================================================================================

Apart from the Llama-3 row nothing is fitted to whole iterations, which serve as validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from topologies import Device

#: Points (side of a matrix or sequence, share of the peak) between which shares are interpolated.
Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Efficiency:
    """Shares of the peaks that training kernels reach.

    Attributes
    ----------
    generation: on whose devices kernels were measured.
    matmul: of the FLOP/s of a number format, by the square root of a matrix's elements. in_layer: see the module.
    core: of the bf16 FLOP/s, for attention by sequence [tokens]; core_again: its backward pass over that.
    memory: of HBM bandwidth, for element-wise kernels. scale_up, scale_out: of link bandwidth.
    moves_again: element-wise traffic of the backward pass over the forward one.
    network_again: collectives of the backward pass that do not hide behind weight gradients, over the forward ones.
    exchange_share: of the device's FLOP/s, for an exchange of tokens that runs beside work.
    latency_s: of one collective. hbm: share of the HBM that a plan may fill.
    """

    generation: str
    matmul: Mapping[str, Knots]
    core: Knots
    core_again: float
    scale_up: float
    in_layer: float
    memory: float = 0.80
    scale_out: float = 0.80
    moves_again: float = 1.8
    network_again: float = 0.3
    exchange_share: float = 20 / 132
    latency_s: float = 10e-6
    hbm: float = field(default=0.95)

    def __hash__(self) -> int:
        return hash((self.generation, self.in_layer, self.hbm))

    def matmul_share(self, number: str, side: float) -> float:
        """Share of the peak that products with a matrix of ``side`` squared elements reach inside a layer.

        >>> round(efficiency_of("hopper").matmul_share("fp8", 4096), 3)
        0.33
        """
        return self.in_layer * _between(self.matmul[number], side)

    def core_share(self, keys: float) -> float:
        """Share of the bf16 peak that attention over so many keys reaches in a forward pass."""
        return _between(self.core, keys)


def _between(knots: Knots, at: float) -> float:
    places, shares = zip(*knots, strict=True)
    return float(np.interp(at, places, shares))


_MEASURED = {
    "ampere": Efficiency(
        "ampere",
        {"bf16": ((3831, 0.79), (4096, 0.81), (8192, 0.85), (12288, 0.84))},
        ((2048, 0.37), (4096, 0.41), (8192, 0.45), (16384, 0.47)),
        core_again=0.85,
        scale_up=0.68,
        in_layer=0.90,
    ),
    "hopper": Efficiency(
        "hopper",
        {
            "bf16": ((3300, 0.79), (8192, 0.80), (12288, 0.82)),
            "fp8": ((3318, 0.354), (4096, 0.478), (5120, 0.514), (8192, 0.567), (12288, 0.597)),
        },
        ((2048, 0.30), (4096, 0.405), (8192, 0.486), (16384, 0.527)),
        core_again=0.86,
        scale_up=0.745,
        in_layer=0.69,
    ),
    "blackwell": Efficiency(
        "blackwell",
        {
            "bf16": ((3318, 0.61), (5120, 0.69), (12288, 0.64)),
            "fp8": ((3318, 0.393), (4096, 0.502), (5120, 0.534), (8192, 0.592), (12288, 0.609)),
        },
        ((2048, 0.21), (4096, 0.326), (8192, 0.420), (16384, 0.497)),
        core_again=0.86,
        scale_up=0.685,
        in_layer=0.69,
    ),
}


def efficiency_of(generation: str) -> Efficiency:
    """The shares of a generation; Hopper's where nothing was measured, its name then says so.

    >>> efficiency_of("ampere").generation, efficiency_of("cdna3").generation
    ('ampere', 'hopper')
    """
    return _MEASURED.get(generation, _MEASURED["hopper"])


def borrowed(device: Device) -> str:
    """A sentence where a device's shares were measured on another generation; empty otherwise."""
    used = efficiency_of(device.generation).generation
    if used == device.generation:
        return ""
    return f"no training kernel was measured on {device.generation}: {device.name} is priced with what {used} reaches"
