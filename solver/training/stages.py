"""A layout as a program sees it: what layers, the embedding and the head cost on each device in time and memory.

=============  =====================================================================================================
of a rank      bytes per parameter
=============  =====================================================================================================
weights        2 in bf16, with fp8 products 1 more for their operands; shared by all copies with ZeRO 3
gradients      4, summed in fp32; shared with ZeRO 2
optimiser      4 of master weights and the moments, in fp32 or bf16; shared with ZeRO 1
=============  =====================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from solver.training.activations import Policy, boundary_bytes, kept_bytes, working_bytes
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.links import ELEMENT_BYTES, LinkRates, RankMachine, around_s, hop_s
from solver.training.network import Block, Network
from solver.training.schedules import Schedule
from solver.training.times import BlockTimes, block_times

GRADIENT_BYTES = 4
MASTER_BYTES = 4
#: Logits are kept in fp32 for the loss.
LOGIT_BYTES = 4


class State(NamedTuple):
    """Bytes of weights, gradients and optimiser of a rank."""

    weights: float
    gradients: float
    optimiser: float

    @classmethod
    def sum(cls, *parts: State) -> State:
        """Several together."""
        return cls(*map(math.fsum, zip(*parts, strict=True)))

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimiser


@dataclass(frozen=True)
class StageCosts:
    """Everything linear about a layout.

    Attributes
    ----------
    rates: bandwidth of every group. policies: those that layers may have; the modules for multi-token prediction have the
    first.
    """

    network: Network
    job: TrainingJob
    layout: TrainingLayout
    machine: RankMachine
    rates: LinkRates
    policies: tuple[Policy, ...]

    @property
    def kinds(self) -> tuple[Block, ...]:
        """Layers that differ, in order of first appearance."""
        return self.network.kinds

    @property
    def kind_of(self) -> tuple[int, ...]:
        """Kind of every layer."""
        return self.network.kind_of

    def _whole(self, each: Sequence[float]) -> float:
        """Sum over all layers of what one of each kind has."""
        return math.fsum(count * one for count, one in zip(self.network.before[-1], each, strict=True))

    @property
    def micro_batches(self) -> int:
        """m."""
        return self.layout.micro_batches(self.job)

    @cached_property
    def tokens(self) -> float:
        """Tokens of a micro-batch on a rank."""
        return self.layout.tokens(self.job)

    @cached_property
    def times(self) -> tuple[BlockTimes, ...]:
        """Times of a layer of each kind."""
        layout = replace(
            self.layout,
            pp=1,
            dp=1,
            zero=1,
            schedule=Schedule("1f1b"),
            overlap=self.layout.hides_experts,
            async_hops=False,
        )
        rates = self.rates._replace(data=0.0, expert_data=0.0, hop=0.0)
        return tuple(_times(block, self.job, layout, self.machine, rates) for block in self.kinds)

    @cached_property
    def layer_s(self) -> tuple[Mapping[Policy, float], ...]:
        """Seconds of a layer of each kind, by policy; never less than what it sends takes over the same NICs."""
        beyond = 2 if self.layout.ep > self.machine.domain else 0
        return tuple(
            {policy: max(times.total(policy), sent + beyond * times.exchange) for policy in self.policies}
            for times, sent in zip(self.times, self._sharded_s, strict=True)
        )

    @cached_property
    def _sharded_s(self) -> tuple[float, ...]:
        """Seconds in which each kind of layer sends what ZeRO 2 and 3 send for every micro-batch."""
        zero = self.layout.zero
        found = []
        for block in self.kinds:
            held = self._held(block)
            gradients = self._around_s(GRADIENT_BYTES, *held) if zero >= 2 else 0.0
            found.append(gradients + (2 * self._around_s(ELEMENT_BYTES, *held) if zero == 3 else 0.0))
        return tuple(found)

    def _around_s(self, size: float, dense: float, routed: float) -> float:
        """Seconds in which a rank's parameters travel around those who have the same, at so many bytes each."""
        layout, machine, rates = self.layout, self.machine, self.rates
        return around_s(size * dense, layout.sharers, rates.data, machine.steps(layout.tp, layout.sharers)) + around_s(
            size * routed, layout.expert_sharers, rates.expert_data, machine.steps(layout.ep, layout.expert_sharers)
        )

    @cached_property
    def bubble(self) -> float:
        """rho of the schedule, with everything stored: recomputation makes no bubble shorter."""
        forward = self._whole([t.forward + t.exchange for t in self.times])
        backward = self._whole([t.backward + t.exchange for t in self.times])
        weights, both = (
            self._whole([t.weights for t in self.times]),
            self._whole([t.total("store") for t in self.times]),
        )
        return self.layout.schedule.bubble(self.layout.pp, forward, backward, weights, both)

    @cached_property
    def head_s(self) -> float:
        """Seconds of the head, the loss and of multi-token prediction, forward and backward, on the last part."""
        logits = self.tokens * self.network.vocabulary / self.layout.tp
        width = self.network.width
        side = math.sqrt(width * self.network.vocabulary / self.layout.tp)
        once = 6 * logits * width / self.machine.flops("bf16", side) + 3 * LOGIT_BYTES * logits / self.machine.moves
        if not self.network.predicted:
            return once
        joined = 6 * 2 * width**2 * self.tokens / self.layout.tp / self.machine.flops(self.job.precision, width)
        layer = self.layer_s[self.kind_of[-1]][self.policies[0]]
        return once + self.network.predicted * (once + joined + layer)

    @cached_property
    def hops_s(self) -> float:
        """Seconds of a micro-batch that a device sends to the next, forward and backward and from every part of its own."""
        if self.layout.pp == 1 or self.layout.hides_hops:
            return 0.0
        own = self.layout.schedule.parts(self.layout.pp) // self.layout.pp
        return 2 * own * hop_s(self.network.width, self.job, self.layout, self.machine, self.rates)

    def fixed_s(self, last: bool) -> float:
        """Seconds of a micro-batch on a device besides its layers."""
        return self.hops_s + (self.head_s if last else 0.0)

    def _held(self, block: Block) -> tuple[float, float]:
        """Parameters of a layer on one rank: those that every copy has, and its experts."""
        dense = (block.attention + block.dense) / self.layout.tp + block.attention_whole + block.router
        return dense, block.experts * block.expert / self.layout.ep

    def _state(self, dense: float, routed: float) -> State:
        """State of so many parameters of a rank."""
        layout = self.layout
        least = {"weights": 3, "gradients": 2, "optimiser": 1}
        each = {
            "weights": 2.0 + (self.job.precision == "fp8"),
            "gradients": float(GRADIENT_BYTES),
            "optimiser": float(MASTER_BYTES + self.job.moments_bytes),
        }
        found = {}
        for part, size in each.items():
            shared = layout.zero >= least[part]
            found[part] = size * (
                dense / (layout.sharers if shared else 1) + routed / (layout.expert_sharers if shared else 1)
            )
        return State(**found)

    @cached_property
    def layer_state(self) -> tuple[State, ...]:
        """State of a layer of each kind on one rank."""
        return tuple(self._state(*self._held(block)) for block in self.kinds)

    def fixed_state(self, first: bool, last: bool) -> State:
        """State besides layers: embedding, head and multi-token prediction."""
        table = self.network.embedding_parameters / self.layout.tp
        tables = 1 if self.network.tied and first and last else first + last
        dense, routed = table * tables, 0.0
        if last and self.network.predicted:
            more = self._held(self.network.layers[-1])
            dense += self.network.predicted * (more[0] + 2 * self.network.width**2 / self.layout.tp)
            routed += self.network.predicted * more[1]
        return self._state(dense, routed)

    def fixed_kept_bytes(self, last: bool) -> float:
        """Bytes besides layers that a rank keeps once: logits, and what multi-token prediction keeps."""
        if not last:
            return 0.0
        logits = LOGIT_BYTES * self.tokens * self.network.vocabulary / self.layout.tp
        return logits + self.network.predicted * self.kept[self.kind_of[-1]][self.policies[0]]

    @cached_property
    def kept(self) -> tuple[Mapping[Policy, float], ...]:
        """Bytes that a layer of each kind keeps of one micro-batch, by policy."""
        return tuple(
            {p: self.tokens * kept_bytes(block, self.job, self.layout, p) for p in self.policies}
            for block in self.kinds
        )

    @cached_property
    def boundary_bytes(self) -> float:
        """Bytes that the reversible layers of a device keep of one micro-batch together."""
        return self.tokens * boundary_bytes(self.network.width, self.layout)

    def working_bytes(self, again: bool) -> float:
        """Bytes that a rank needs once: a layer that is recomputed, and with ZeRO 3 the weights of two layers."""
        layer = max(self.tokens * working_bytes(block, self.job, self.layout) for block in self.kinds)
        gathered = max(2 * ELEMENT_BYTES * sum(self._held(block)) for block in self.kinds)
        return layer * again + gathered * (self.layout.zero == 3)

    def held(self, device: int) -> float:
        """Micro-batches that a device holds at most."""
        return self.layout.schedule.held(self.layout.pp, device, self.micro_batches)

    @cached_property
    def step_s(self) -> float:
        """Seconds of an iteration outside the pipeline: gradients that the last backward pass does not hide, weights that the
        first forward pass does not, and the optimiser; for an even share of the heaviest layers and the head."""
        each = -(-len(self.network.layers) // self.layout.pp)
        heaviest = max(range(len(self.kinds)), key=lambda kind: sum(self._held(self.kinds[kind])))
        dense, routed = (each * held for held in self._held(self.kinds[heaviest]))
        dense += self.network.embedding_parameters / self.layout.tp
        times, zero = self.times[heaviest], self.layout.zero
        reduce = self._around_s(GRADIENT_BYTES, dense, routed) if zero < 2 else 0.0
        gather = self._around_s(ELEMENT_BYTES, dense, routed) if zero < 3 else 0.0
        waits = max(0.0, reduce - each * times.backward) + max(0.0, gather - each * times.forward)
        return waits + self._optimiser_s(dense, routed)

    def _optimiser_s(self, dense: float, routed: float) -> float:
        """Seconds to read gradients, master weights and moments, and to write all but the gradients, with new weights."""
        shared = self.layout.zero >= 1
        parameters = dense / (self.layout.sharers if shared else 1)
        parameters += routed / (self.layout.expert_sharers if shared else 1)
        size = GRADIENT_BYTES + 2 * (MASTER_BYTES + self.job.moments_bytes) + ELEMENT_BYTES
        return size * parameters / self.machine.moves

    def iteration_s(self, device_s: Sequence[float]) -> float:
        """Seconds of an iteration, from those of a micro-batch on every device of the pipeline."""
        slowest = max(device_s)
        return self.micro_batches * slowest + self.bubble * (math.fsum(device_s) - slowest) + self.step_s

    @cached_property
    def least_s(self) -> float:
        """Seconds that no assignment of layers and policies beats: the fastest policy, HBM unlimited, work dealt evenly but
        for whole layers."""
        fastest = [min(seconds.values()) for seconds in self.layer_s]
        stages = self.layout.pp
        total = self._whole(fastest) + stages * self.hops_s + self.head_s
        pace = max(
            total / stages, most_layers(len(self.kind_of), stages, self.layout.schedule) * min(fastest) + self.hops_s
        )
        return (self.micro_batches - self.bubble) * pace + self.bubble * total + self.step_s

    @property
    def _room_bytes(self) -> float:
        """HBM of all devices that hold one copy of the network."""
        return self.layout.pp * self.machine.room_bytes / self.layout.schedule.copies

    @cached_property
    def _state_bytes(self) -> float:
        """State of one copy of the network."""
        layers = self._whole([state.total for state in self.layer_state])
        if self.layout.pp == 1:
            return layers + self.fixed_state(True, True).total
        return layers + self.fixed_state(True, False).total + self.fixed_state(False, True).total

    @property
    def too_large(self) -> bool:
        """Whether weights, gradients and optimiser alone do not fit, however layers are cut."""
        return self._state_bytes > self._room_bytes

    @cached_property
    def hopeless(self) -> bool:
        """Whether they and the least that layers keep do not fit."""
        least = min(self.held(0), self.held(self.layout.pp - 1))
        kept = least * self._whole([min(kept.values()) for kept in self.kept])
        return self._state_bytes + kept > self._room_bytes


def most_layers(layers: int, devices: int, schedule: Schedule) -> float:
    """Layers that a micro-batch meets on some device at the least, layers being whole: with two copies half of what the device
    and its mirror share.

    >>> most_layers(61, 16, Schedule("1f1b")), most_layers(61, 16, Schedule("dualpipe"))
    (4, 4.0)
    """
    return -(-2 * layers // devices) / 2 if schedule.copies == 2 else -(-layers // devices)


@lru_cache(maxsize=1 << 16)
def _times(
    block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine, rates: LinkRates
) -> BlockTimes:
    """Times of a layer, remembered: layouts that differ in stages and copies alone share them."""
    return block_times(block, job, layout, machine, rates)
