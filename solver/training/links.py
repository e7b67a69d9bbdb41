"""What ranks send each other in a training step, and the bandwidth that they have for it.

Ranks count tensor, context, data, stage, fastest first, and lie on devices in that order. A group whose ranks are
neighbours inside one scale-up domain talks over scale-up links; one that spreads over domains has as many NICs as
members in each, and its rings use them at once (NCCL's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from solver.training.efficiency import Efficiency
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.network import Block
from topologies import Device

ELEMENT_BYTES = 2
#: Seconds of one step of a ring over the network with NCCL's Simple protocol (NCCL, src/graph/tuning.cc, hwLat).
STEP_S = 14e-6


class LinkRates(NamedTuple):
    """Bytes/s that each rank has, in one direction, for each thing that it sends.

    Attributes
    ----------
    tensor, context, data, expert_data: around the rings of a group. hop: to the next stage.
    inside, outside: to experts in its scale-up domain, and beyond.
    """

    tensor: float
    context: float
    data: float
    expert_data: float
    hop: float
    inside: float
    outside: float


class Slowdowns(NamedTuple):
    """Share of the NICs' bandwidth that the cluster graph leaves to each pattern when all ranks send at once."""

    context: float = 1.0
    data: float = 1.0
    expert_data: float = 1.0
    hop: float = 1.0
    experts: float = 1.0


@dataclass(frozen=True)
class RankMachine:
    """What a layout runs on.

    Attributes
    ----------
    domain: devices of a scale-up domain.
    """

    device: Device
    efficiency: Efficiency
    domain: int

    @property
    def room_bytes(self) -> float:
        """HBM that a rank may fill."""
        return self.device.hbm_usable_bytes * self.efficiency.hbm

    def flops(self, number: str, side: float) -> float:
        """FLOP/s of products with a matrix of so many elements, squared."""
        peak = self.device.flops.get(number, self.device.flops["bf16"])
        known = number if number in self.efficiency.matmul else "bf16"
        return peak * self.efficiency.matmul_share(known, side)

    @property
    def moves(self) -> float:
        """Bytes/s of HBM for element-wise kernels."""
        return self.device.hbm_bytes_per_s * self.efficiency.memory

    def members(self, stride: int, size: int) -> int:
        """Members of a group in one domain, when neighbours in the group are ``stride`` ranks apart."""
        return max(1, min(size, self.domain // stride))

    def steps(self, stride: int, size: int) -> int:
        """Steps between domains of a ring around a group."""
        return -(-size // self.members(stride, size)) - 1

    def rates(self, layout: TrainingLayout, slow: Slowdowns | None = None) -> LinkRates:
        """Bandwidth of every group; on an empty fabric where nothing is known to be slower."""
        slow = slow or Slowdowns()
        up = self.device.scale_up_bytes_per_s * self.efficiency.scale_up
        nic = self.device.scale_out_bytes_per_s * self.efficiency.scale_out

        def ring(stride: int, size: int, share: float) -> float:
            """Bandwidth around a group: scale-up alone where it fits into a domain, else its NICs there."""
            members = self.members(stride, size)
            return up if members == size else min(up, members * nic * share)

        t, stage = layout.tp, layout.stage
        return LinkRates(
            tensor=ring(1, t, 1.0),
            context=ring(t, layout.cp, slow.context),
            data=ring(t, layout.sharers, slow.data),
            expert_data=ring(layout.ep, layout.expert_sharers, slow.expert_data),
            hop=up if stage * layout.pp <= self.domain else nic * slow.hop,
            inside=up,
            outside=nic * slow.experts,
        )


def nodes_met(job: TrainingJob, nodes: int, top_k: int) -> float:
    """Domains that hold the experts of one token, on average: the binomial mean, and no more than routing allows.

    >>> round(nodes_met(TrainingJob(1, 1, 1), 8, 8), 2), nodes_met(TrainingJob(1, 1, 1, nodes_per_token=4), 8, 8)
    (5.25, 4)
    """
    met = nodes * (1 - (1 - 1 / nodes) ** top_k)
    return min(met, job.nodes_per_token or met)


def exchange_s(block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine, rates: LinkRates) -> float:
    """Seconds of dispatch and combine of one micro-batch in a forward pass; the backward pass takes as long.

    A token goes once to each domain that holds one of its experts and is passed on inside. Dispatch sends operands,
    combine bf16.
    """
    if not block.experts or layout.ep == 1:
        return 0.0
    tokens = layout.tokens(job) / layout.tp
    element = job.operand_bytes + ELEMENT_BYTES
    nodes = -(-layout.ep // machine.domain)
    beyond = nodes_met(job, nodes, block.top_k) * (nodes - 1) / nodes
    # copies that reach a rank of a domain from another one of the same domain
    local = min(layout.ep, machine.domain)
    within = block.top_k * (local - 1) / local
    seconds = max(tokens * beyond * block.width / rates.outside, tokens * within * block.width / rates.inside)
    return 2 * machine.efficiency.latency_s + element * seconds


def tensor_s(block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine, rates: LinkRates) -> float:
    """Seconds of the tensor-parallel exchanges of a forward pass: an all-gather and a reduce-scatter of the stream around
    attention, and around an FFN that every token meets. Without sequence parallelism all-reduces move as much."""
    if layout.tp == 1:
        return 0.0
    size = ELEMENT_BYTES * layout.tokens(job) * block.width * (layout.tp - 1) / layout.tp
    exchanges = 2 + 2 * (block.dense > 0)
    return exchanges * (machine.efficiency.latency_s + size / rates.tensor)


def context_s(
    block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine, rates: LinkRates, work_s: float
) -> float:
    """Seconds of a pass that context-parallel ranks wait for each other's keys and values.

    A ring passes them on while attention (``work_s``) runs and waits only for what is not hidden; an all-gather comes
    before it.
    """
    if layout.cp == 1:
        return 0.0
    others = layout.cp - 1
    step = STEP_S if layout.tp * layout.cp > machine.domain else machine.efficiency.latency_s
    size = ELEMENT_BYTES * block.kv / layout.tp * layout.tokens(job)
    sent = others * (step + size / rates.context)
    return max(0.0, sent - work_s * others / layout.cp) if layout.exchange == "ring" else sent


def hop_s(width: int, job: TrainingJob, layout: TrainingLayout, machine: RankMachine, rates: LinkRates) -> float:
    """Seconds to pass a micro-batch's activations to the next stage; every tensor-parallel rank sends its part."""
    size = ELEMENT_BYTES * layout.tokens(job) * width / layout.tp
    return machine.efficiency.latency_s + size / rates.hop


def around_s(size_bytes: float, sharers: int, bytes_per_s: float, steps: int) -> float:
    """Seconds in which each rank of a group passes all but its own share of a buffer around the ring: a reduce-scatter or an
    all-gather.

    Parameters
    ----------
    steps: of the ring between domains.
    """
    return 0.0 if sharers == 1 else STEP_S * steps + (sharers - 1) / sharers * size_bytes / bytes_per_s
