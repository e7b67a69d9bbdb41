"""A layout as the program sees it: what each stage costs in time and memory per layer of each policy, and besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from solver.training.activations import Layer, Policy
from solver.training.efficiency import Efficiency
from solver.training.job import Layout, TrainingJob
from solver.training.network import Network
from solver.training.times import LayerTimes, gradients_s, hop_s, layer_of, layer_times
from topologies import Device

#: Mixed precision with Adam: bytes per parameter of weights (bf16) and gradients (fp32) on every copy, and of master
#: weights and moments (fp32), which copies share.
KEPT_BYTES = 6
SHARED_BYTES = 12
#: Logits are kept in fp32 for the loss.
LOGIT_BYTES = 4


@dataclass(frozen=True)
class StageCosts:
    """Everything linear about a layout.

    Attributes
    ----------
    domain: devices of a scale-up domain.
    """

    network: Network
    job: TrainingJob
    layout: Layout
    device: Device
    efficiency: Efficiency
    domain: int

    @property
    def stages(self) -> int:
        """p."""
        return self.layout.pp

    @property
    def micro_batches(self) -> int:
        """m."""
        return self.layout.micro_batches(self.job)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Policies that the network allows."""
        return self.job.policies

    @cached_property
    def layer(self) -> Layer:
        """Activations of a layer."""
        return layer_of(self.network, self.job, self.layout.micro_batch)

    @cached_property
    def times(self) -> LayerTimes:
        """Times of a layer."""
        return layer_times(self.network, self.job, self.layout, self.device, self.efficiency, self.domain)

    @cached_property
    def layer_s(self) -> Mapping[Policy, float]:
        """Seconds of a layer by policy."""
        return {policy: self.times.total(policy) for policy in self.policies}

    @property
    def bubble(self) -> float:
        """rho of the schedule, with everything stored: recomputation makes no bubble shorter."""
        times = self.times
        return self.layout.schedule.bubble(times.forward, times.backward, times.weights)

    @cached_property
    def head_s(self) -> float:
        """Seconds of the head and the loss, forward and backward, on the last stage."""
        tokens = self.job.sequence_tokens * self.layout.micro_batch
        logits = tokens * self.network.vocabulary / self.layout.tp
        matmul = 6 * logits * self.network.width / (self.device.flops["bf16"] * self.efficiency.matmul)
        return matmul + 3 * LOGIT_BYTES * logits / (self.device.hbm_bytes_per_s * self.efficiency.memory)

    @cached_property
    def hops_s(self) -> float:
        """Seconds that a stage sends, forward and backward, in every chunk."""
        if self.stages == 1:
            return 0.0
        each = hop_s(self.network, self.job, self.layout, self.device, self.efficiency)
        return 2 * self.layout.schedule.chunks * each

    def fixed_s(self, stage: int) -> float:
        """Seconds of a micro-batch besides layers."""
        return self.hops_s + (self.head_s if stage == self.stages - 1 else 0.0)

    @cached_property
    def step_s(self) -> float:
        """Seconds of an iteration outside the pipeline: gradients that the last backward pass does not hide, and the
        optimiser."""
        parameters = self.layer_parameters * self.network.layers / self.stages
        reduce, gather = gradients_s(parameters, self.layout, self.device, self.efficiency, self.domain)
        layers = self.network.layers / self.stages
        hidden = max(0.0, reduce - self.times.backward * layers) + max(0.0, gather - self.times.forward * layers)
        states = 2 * self.layer_state_bytes * layers
        return hidden + states / (self.device.hbm_bytes_per_s * self.efficiency.memory)

    @cached_property
    def layer_parameters(self) -> float:
        """Parameters of a layer on one rank."""
        return self._dense_parameters + self._routed_parameters

    @property
    def _dense_parameters(self) -> float:
        return (self.network.attention_parameters + self.network.dense_parameters) / self.layout.tp

    @property
    def _routed_parameters(self) -> float:
        return self.network.experts * self.network.expert_parameters / self.layout.ep / self.layout.tp

    def _state_bytes(self, copies: float) -> float:
        """Weights, gradients and optimiser of a parameter that so many ranks have."""
        return KEPT_BYTES + SHARED_BYTES / copies

    @cached_property
    def layer_state_bytes(self) -> float:
        """Weights, gradients and optimiser of a layer on one rank; experts have fewer copies to share theirs."""
        dense = self._dense_parameters * self._state_bytes(self.layout.dp)
        return dense + self._routed_parameters * self._state_bytes(self.layout.dp / self.layout.ep)

    def fixed_bytes(self, stage: int) -> float:
        """Bytes besides layers: embedding and head with their optimiser, and logits."""
        table = self.network.embedding_parameters / self.layout.tp * self._state_bytes(self.layout.dp)
        logits = (
            LOGIT_BYTES * self.job.sequence_tokens * self.layout.micro_batch * self.network.vocabulary / self.layout.tp
        )
        last = stage == self.stages - 1
        return table * ((stage == 0) or last) + logits * last

    def held(self, stage: int) -> float:
        """Micro-batches that a stage holds at most."""
        return self.layout.schedule.held(self.stages, stage, self.micro_batches)

    def kept_bytes(self, policy: Policy) -> float:
        """Bytes that a layer keeps of one micro-batch."""
        return self.layer.stored_bytes(policy, self.layout.tp, self.layout.sequence_parallel)

    @property
    def boundary_bytes(self) -> float:
        """Bytes that the reversible layers of a stage keep of one micro-batch together."""
        return self.layer.boundary_bytes(self.layout.tp, self.layout.sequence_parallel)

    @property
    def working_bytes(self) -> float:
        """Bytes while a layer is recomputed."""
        return self.layer.working_bytes("full", self.layout.tp, self.layout.sequence_parallel)

    @property
    def room_bytes(self) -> float:
        """HBM of a rank."""
        return self.device.hbm_bytes * self.efficiency.hbm

    def iteration_s(self, stage_s: list[float]) -> float:
        """Seconds of an iteration, from those of a micro-batch on every stage."""
        slowest = max(stage_s)
        return self.micro_batches * slowest + self.bubble * (sum(stage_s) - slowest) + self.step_s

    @cached_property
    def least_s(self) -> float:
        """Seconds that no assignment of layers and policies beats: everything stored, layers whole, HBM unlimited."""
        each = min(self.layer_s.values())
        total = self.network.layers * each + self.stages * self.hops_s + self.head_s
        return (self.micro_batches - self.bubble) * self._least_pace(each) + self.bubble * total + self.step_s

    def _least_pace(self, each: float) -> float:
        """Seconds of the slowest stage at least: layers are dealt whole, and the last stage has the head besides."""
        layers, others = self.network.layers, self.stages - 1
        if not others:
            return layers * each + self.head_s
        paces = []
        for last in range(1, layers - others + 1):
            paces.append(max(last * each + self.head_s, -(-(layers - last) // others) * each))
            if len(paces) > 1 and paces[-1] > paces[-2]:
                break
        return min(paces) + self.hops_s

    @property
    def hopeless(self) -> bool:
        """Whether weights and optimiser alone do not fit, however layers are cut."""
        total = self.network.layers * self.layer_state_bytes + sum(map(self.fixed_bytes, range(self.stages)))
        return total > self.stages * self.room_bytes
