"""Seconds of one layer for one micro-batch on one rank: forward, backward, and what each policy recomputes."""

from __future__ import annotations

from dataclasses import dataclass

from solver.training.activations import Layer, Policy
from solver.training.efficiency import Efficiency
from solver.training.job import Layout, TrainingJob
from solver.training.network import Network
from topologies import Device

#: Bytes per element of the stream that norms, residuals and dropout read and write in a forward pass.
STREAM_BYTES = 22
#: Bytes per inner element of the FFN for its activation function: read and write.
INNER_BYTES = 4
#: Bytes per attention score: written by the product, softmax, dropout with its mask, read again.
SCORE_BYTES = 13
#: Exchanges of the stream in a layer: all-gather and reduce-scatter, of attention and of the FFN.
EXCHANGES = 4
ELEMENT_BYTES = 2


@dataclass(frozen=True)
class LayerTimes:
    """Seconds of a layer.

    Attributes
    ----------
    forward: F. backward: B without recomputation. weights: the part of B for gradients of weights.
    attention: the attention core of a forward pass, which selective recomputation runs again.
    """

    forward: float
    backward: float
    weights: float
    attention: float

    def again(self, policy: Policy) -> float:
        """Recomputation before the backward pass."""
        return {"store": 0.0, "selective": self.attention, "full": self.forward, "reversible": self.forward}[policy]

    def total(self, policy: Policy) -> float:
        """Forward, backward and recomputation."""
        return self.forward + self.backward + self.again(policy)


def layer_of(network: Network, job: TrainingJob, micro_batch: int) -> Layer:
    """What a micro-batch leaves in a layer."""
    return Layer(network.width, network.heads, job.sequence_tokens, micro_batch, network.linear, job.flash)


def layer_times(
    network: Network, job: TrainingJob, layout: Layout, device: Device, efficiency: Efficiency, domain: int
) -> LayerTimes:
    """Price a layer.

    Parameters
    ----------
    domain: devices of a scale-up domain.
    """
    tokens, t = job.sequence_tokens * layout.micro_batch, layout.tp
    flops = device.flops["bf16"] * efficiency.matmul
    memory = device.hbm_bytes_per_s * efficiency.memory
    matmul = 2 * network.active_layer_parameters * tokens / t / flops
    core = 4 * job.sequence_tokens * tokens * network.attended / t / flops
    if job.flash:
        core /= 2  # only the half of the scores that causality leaves is computed
    else:
        core += SCORE_BYTES * network.heads * job.sequence_tokens * tokens / t / memory
    shared = t if layout.sequence_parallel else 1
    moved = (STREAM_BYTES / shared + INNER_BYTES * network.inner / t) * tokens * network.width / memory
    network_s = _exchanges_s(network, tokens, layout, device, efficiency) + _experts_s(
        network, tokens, layout, device, efficiency, domain
    )
    return LayerTimes(
        forward=matmul + core + moved + network_s,
        backward=2 * (matmul + core) + moved * efficiency.backward_moves + network_s * efficiency.backward_network,
        weights=matmul,
        attention=core,
    )


def _exchanges_s(network: Network, tokens: float, layout: Layout, device: Device, efficiency: Efficiency) -> float:
    """Seconds of the tensor-parallel exchanges of a forward pass; two all-reduces move as much as four of these."""
    if layout.tp == 1:
        return 0.0
    size = ELEMENT_BYTES * tokens * network.width * (layout.tp - 1) / layout.tp
    return EXCHANGES * (efficiency.latency_s + size / (device.scale_up_bytes_per_s * efficiency.scale_up))


def _experts_s(
    network: Network, tokens: float, layout: Layout, device: Device, efficiency: Efficiency, domain: int
) -> float:
    """Seconds of dispatch and combine of a forward pass."""
    if layout.ep == 1:
        return 0.0
    inside = layout.tp * layout.ep <= domain
    rate = device.scale_up_bytes_per_s * efficiency.scale_up if inside else _scale_out(device, efficiency)
    size = ELEMENT_BYTES * tokens * network.top_k * network.width / layout.tp * (layout.ep - 1) / layout.ep
    return 2 * (efficiency.latency_s + size / rate)


def hop_s(network: Network, job: TrainingJob, layout: Layout, device: Device, efficiency: Efficiency) -> float:
    """Seconds to pass a micro-batch's activations to the next stage; every tensor-parallel rank sends its part."""
    size = ELEMENT_BYTES * job.sequence_tokens * layout.micro_batch * network.width / layout.tp
    return efficiency.latency_s + size / _scale_out(device, efficiency)


def gradients_s(
    parameters: float, layout: Layout, device: Device, efficiency: Efficiency, domain: int
) -> tuple[float, float]:
    """Seconds of reduce-scattering a rank's gradients among its copies, and of gathering its updated weights.

    Parameters
    ----------
    parameters: of the rank.
    """
    if layout.dp == 1:
        return 0.0, 0.0
    inside = layout.devices <= domain
    rate = device.scale_up_bytes_per_s * efficiency.scale_up if inside else _scale_out(device, efficiency)
    share = (layout.dp - 1) / layout.dp * parameters / rate
    return 4 * share, ELEMENT_BYTES * share


def _scale_out(device: Device, efficiency: Efficiency) -> float:
    return device.scale_out_bytes_per_s * efficiency.scale_out
