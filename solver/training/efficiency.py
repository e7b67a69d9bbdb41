"""What A100-class devices reach of their peaks in Megatron, from measured times of single layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Efficiency:
    """Shares of the peaks that training kernels reach.

    The defaults are read off Korthikanti et al. (arXiv:2205.05198), Table 4, the 22B layer on eight A100s alone: forward
    7.2 ms and backward 11.8 ms with sequence parallelism, 1.3 ms more with selective recomputation. Nothing is fitted to
    whole iterations, which serve as validation.

    Attributes
    ----------
    matmul: of the FLOP/s, for matrix products. memory: of HBM bandwidth, for element-wise kernels.
    scale_up, scale_out: of link bandwidth.
    backward_moves: element-wise traffic of the backward pass over the forward one.
    backward_network: collectives of the backward pass that do not hide behind weight gradients, over the forward ones.
    latency_s: of one collective.
    hbm: share of the HBM that a plan may fill.
    """

    matmul: float = 0.72
    memory: float = 0.80
    scale_up: float = 0.75
    scale_out: float = 0.80
    backward_moves: float = 1.8
    backward_network: float = 0.7
    latency_s: float = 10e-6
    hbm: float = 0.95
