"""Seconds of one engine step: a roofline for every block, collectives, and what each kernel and step costs besides.

Per attention rank a step carries ``decode`` sequences of ``queries`` tokens each and ``prefill`` prompt tokens::

    step = T0 + s decode + head + sum over layers [ kernels + projections + attention + FFN + collectives ]

Every block is ``(compute^p + memory^p)^(1/p)``. With pipeline stages the sums run over each stage's layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost import collectives
from solver.cost.calibration import Calibration
from solver.cost.machine import Machine, gemm_efficiency
from solver.cost.roofline import block, experts_touched
from solver.cost.work import COMBINE_WIDTH, DISPATCH_WIDTH, Work

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """What one attention rank carries in a step (one micro-batch of a pipeline); arrays (R,) or scalars.

    Attributes
    ----------
    decode: running sequences.
    context: their mean context [tokens].
    prefill: prompt tokens.
    prefill_keys: mean number of keys before each of them [tokens].
    others: prompt tokens on each other data-parallel rank in the same step.
    queries: tokens per running sequence (1 + draft tokens under verification).
    """

    decode: Floats
    context: Floats
    prefill: Floats
    prefill_keys: Floats
    others: Floats
    queries: Floats

    @classmethod
    def of(
        cls,
        decode: Floats | float = 0.0,
        context: Floats | float = 0.0,
        prefill: Floats | float = 0.0,
        prefill_keys: Floats | float | None = None,
        others: Floats | float | None = None,
        queries: Floats | float = 1.0,
    ) -> Load:
        """Fill in the usual: prompts attend to half of themselves, every data-parallel rank carries the same."""
        tokens = np.asarray(prefill, float)
        return cls(
            np.asarray(decode, float),
            np.asarray(context, float),
            tokens,
            tokens / 2 if prefill_keys is None else np.asarray(prefill_keys, float),
            tokens if others is None else np.asarray(others, float),
            np.asarray(queries, float),
        )

    def divided(self, parts: Floats) -> Load:
        """One of so many equal micro-batches."""
        return replace(self, decode=self.decode / parts, prefill=self.prefill / parts, others=self.others / parts)


@dataclass(frozen=True)
class Group:
    """Where the ranks of a stage sit, and how evenly experts load them; arrays (R,).

    Attributes
    ----------
    domains: scale-up domains over which one stage's expert group spreads.
    imbalance: hottest expert rank over the mean.
    overlap: 1 where two half-batches hide the exchange behind compute.
    """

    domains: Floats
    imbalance: Floats
    overlap: Floats


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step by stage (R, S); a stage that a row lacks is 0.

    Attributes
    ----------
    stage_s: time of each stage (R, S).
    hops_s: all sends between stages (R,).
    layer_s: one layer of each kind (R, K); head_s: the output head (R,); fixed_s: scheduler and sampler, on every stage
    (R,).
    layer_parts_s: what the compute, memory traffic, network and kernel gaps of one layer would take alone: four arrays
        (R, K). They overlap, so they do not add up to ``layer_s``.
    head_parts_s: compute and memory traffic of the head alone (R,).
    """

    work: Work
    stage_s: Floats
    hops_s: Floats
    layer_s: Floats
    head_s: Floats
    fixed_s: Floats
    layer_parts_s: tuple[Floats, Floats, Floats, Floats]
    head_parts_s: tuple[Floats, Floats]

    @property
    def latency_s(self) -> Floats:
        """From entering the first stage to leaving the last (R,)."""
        through: Floats = self.stage_s.sum(axis=1) + self.hops_s
        return through

    @property
    def slowest_s(self) -> Floats:
        """The stage that limits throughput (R,)."""
        slowest: Floats = self.stage_s.max(axis=1)
        if self.work.floor is None:
            return slowest
        return np.maximum(slowest, self.fixed_s + self.work.floor.heaviest(self.layer_s, self.head_s))

    def parts_s(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Compute, memory, network and overhead of the whole way through the stages, each alone (R,)."""
        compute, memory, network, kernels = (_over_stages(self.work, part).sum(axis=1) for part in self.layer_parts_s)
        overhead = kernels + self.fixed_s * self.work.pp
        return compute + self.head_parts_s[0], memory + self.head_parts_s[1], network + self.hops_s, overhead


def step(work: Work, machine: Machine, calibration: Calibration, group: Group, load: Load) -> StepTime:
    """Price one step of every row.

    With two-batch overlap each layer runs twice on half the tokens, and the exchange of one half hides behind the
    compute of the other: ``2 max(blocks, network)``, weights read and kernels launched twice.
    """
    halves = 1 + _column(group.overlap)
    part = load.divided(1 + group.overlap)
    blocks, compute, memory = _blocks(work, machine, calibration, group, part)
    network = _network(work, machine, calibration, group, part)
    gap = np.where(load.prefill > 0, calibration.kernel_s + calibration.prefill_kernel_s, calibration.kernel_s)
    kernels = work.kernels * _column(gap)
    layer = halves * (np.where(halves > 1, np.maximum(blocks, network), blocks + network) + kernels)
    head, head_compute, head_memory = _head(work, machine, calibration, load)
    fixed = calibration.step_s + calibration.sequence_s * load.decode
    present = np.arange(work.layers.shape[1]) < _column(work.pp)
    sent = (load.decode * load.queries + load.prefill) * work.hidden * 2 / work.tp
    return StepTime(
        work,
        stage_s=_over_stages(work, layer) + present * _column(fixed) + work.last_stage * _column(head),
        hops_s=(work.pp - 1) * collectives.send(sent, machine.scale_out * calibration.scale_out, calibration.hop_s),
        layer_s=layer,
        head_s=head,
        fixed_s=fixed,
        layer_parts_s=(halves * compute, halves * memory, halves * network, halves * kernels),
        head_parts_s=(head_compute, head_memory),
    )


def _over_stages(work: Work, per_layer: Floats) -> Floats:
    """Sum a quantity of one layer (R, K) over the layers of each stage (R, S)."""
    total = np.zeros(work.layers.shape[:2])
    for kind in range(work.layers.shape[2]):
        total += work.layers[:, :, kind] * per_layer[:, kind, None]
    return total


def _column(values: Floats | float) -> Floats:
    """(R,) or a scalar as a column that broadcasts over stages or kinds."""
    return np.asarray(values, float)[..., None]


def _blocks(
    work: Work, machine: Machine, calibration: Calibration, group: Group, load: Load
) -> tuple[Floats, Floats, Floats]:
    """Seconds of one layer's blocks, and of their compute and memory traffic alone; each (R, K)."""
    parts = [
        _projections(work, machine, calibration, load),
        _decode_attention(work, machine, calibration, load),
        _prefill_attention(work, machine, calibration, load),
        _dense(work, machine, calibration, load),
        _shared(work, machine, calibration, load),
        _experts(work, machine, calibration, group, load),
    ]
    compute = sum(c for c, _ in parts)
    memory = sum(m for _, m in parts)
    return sum(block(c, m, calibration.smoothness) for c, m in parts), compute, memory  # type: ignore[return-value]


def _tokens(load: Load) -> Floats:
    return _column(load.decode * load.queries + load.prefill)


def _hbm(machine: Machine, share: Floats | float, four_bit: Floats, calibration: Calibration) -> Floats:
    """Bandwidth reached when reading weights (R, 1)."""
    return _column(machine.hbm * share * np.where(four_bit > 0, calibration.hbm_fp4, 1.0))


def _projections(work: Work, machine: Machine, calibration: Calibration, load: Load) -> tuple[Floats, Floats]:
    into = machine.project_in * gemm_efficiency(calibration, machine.project_in_rate)
    out = machine.project_out * gemm_efficiency(calibration, machine.project_out_rate)
    compute = 2 * _tokens(load) * (work.project_in / _column(into) + work.project_out / _column(out))
    compute = compute + _tokens(load) * work.token_flop / _column(machine.bf16 * calibration.attention_flops)
    return compute, work.project_bytes / _hbm(machine, calibration.hbm_dense, machine.project_fp4, calibration)


def _decode_attention(work: Work, machine: Machine, calibration: Calibration, load: Load) -> tuple[Floats, Floats]:
    keys, scored = attended_keys(work, _column(load.context))
    flop = _column(load.decode * load.queries) * (keys * work.decode_flop + scored * work.index_flop)
    read = _column(load.decode) * (keys * work.key_bytes + scored * work.index_bytes + work.state_bytes)
    return flop / _column(machine.bf16 * calibration.attention_flops), read / _column(machine.hbm * calibration.hbm_kv)


def _prefill_attention(work: Work, machine: Machine, calibration: Calibration, load: Load) -> tuple[Floats, Floats]:
    keys, scored = attended_keys(work, _column(load.prefill_keys))
    flop = _column(load.prefill) * (keys * work.prefill_flop + scored * work.index_flop)
    return flop / _column(machine.bf16 * calibration.attention_flops), np.zeros_like(flop)


def attended_keys(work: Work, context: Floats) -> tuple[Floats, Floats]:
    """Keys that a query at this context attends to, and those that an indexer scores for it; (R, K)."""
    far = context / work.stride
    return np.minimum(context, work.window) + np.minimum(far, work.budget), np.where(work.index_flop > 0, far, 0.0)


def _dense(work: Work, machine: Machine, calibration: Calibration, load: Load) -> tuple[Floats, Floats]:
    rate = machine.dense * gemm_efficiency(calibration, machine.dense_rate)
    memory = work.dense_bytes / _hbm(machine, calibration.hbm_dense, machine.dense_fp4, calibration)
    return 2 * _tokens(load) * work.dense / _column(rate), memory


def _shared(work: Work, machine: Machine, calibration: Calibration, load: Load) -> tuple[Floats, Floats]:
    rate = machine.shared * gemm_efficiency(calibration, machine.shared_rate)
    router = machine.bf16 * calibration.gemm_bf16
    compute = 2 * _tokens(load) * (work.shared / _column(rate) + work.router / _column(router))
    shared = work.shared_bytes / _hbm(machine, calibration.hbm_dense, machine.shared_fp4, calibration)
    return compute, shared + 2 * work.router / _column(machine.hbm * calibration.hbm_dense)


def _experts(work: Work, machine: Machine, calibration: Calibration, group: Group, load: Load) -> tuple[Floats, Floats]:
    """The hottest rank: its share of the group's tokens, and the copies on it that at least one of them selects."""
    own = load.decode * load.queries
    everyone = _column(work.dp * own + load.prefill + (work.dp - 1) * load.others)
    uneven = np.where(_column(work.ep) > 1, _column(group.imbalance), 1.0)
    rate = machine.expert * gemm_efficiency(calibration, machine.expert_rate) * calibration.grouped_gemm
    compute = uneven * 2 * everyone * work.top_k * work.expert / _column(work.ep * rate)
    copies = np.maximum(work.slots * _column(work.ep), 1)
    touched = work.slots / copies * experts_touched(copies, work.top_k, everyone * work.experts / copies)
    return compute, touched * work.expert_bytes / _hbm(
        machine, calibration.hbm_experts, machine.expert_fp4, calibration
    )


def _head(work: Work, machine: Machine, calibration: Calibration, load: Load) -> tuple[Floats, Floats, Floats]:
    """Logits of every running token, and of one token of each prompt chunk; (R,)."""
    logits = load.decode * load.queries + (load.prefill > 0)
    compute = 2 * logits * work.head / (machine.bf16 * calibration.gemm_head)
    memory = work.head_bytes / (machine.hbm * calibration.hbm_dense)
    return block(compute, memory, calibration.smoothness), compute, memory


def _network(work: Work, machine: Machine, calibration: Calibration, group: Group, load: Load) -> Floats:
    """Seconds of one layer's collectives (R, K).

    Tensor parallelism reduces after attention and after the FFN. Experts shared by data-parallel ranks replace the
    second reduction with an exchange.
    """
    tokens = load.decode * load.queries + load.prefill
    size = tokens * work.hidden * 2
    inside = machine.scale_up * calibration.scale_up
    reduce = collectives.all_reduce(work.tp, size, inside, calibration.all_reduce_s, calibration.all_reduce_growth)
    exchanged = (work.top_k > 0) & (_column(work.dp) > 1)
    return _column(reduce) + np.where(exchanged, _exchange(work, machine, calibration, group, tokens), _column(reduce))


def _exchange(work: Work, machine: Machine, calibration: Calibration, group: Group, tokens: Floats) -> Floats:
    """Dispatch and combine among the expert group (R, K), by whichever of the engine's kernels is faster.

    Inside one domain: all-gather and reduce-scatter of every rank's tokens, or an all-to-all. Across domains:
    low-latency kernels, or high-throughput ones that send a token once per domain.
    """
    inside, outside = machine.scale_up * calibration.scale_up, machine.scale_out * calibration.scale_out
    everywhere = collectives.gather_and_scatter(work.dp, tokens * work.hidden * 2, inside, calibration.all_reduce_s)
    share = tokens / work.tp
    uneven = np.where(work.ep > 1, group.imbalance, 1.0)

    def all_to_all(floor: float, deduplicate: bool) -> Floats:
        one_way = [
            collectives.expert_exchange(
                _column(share * uneven),
                work.token_width * width,
                work.top_k,
                work.experts,
                _column(group.domains),
                _column(inside),
                _column(outside),
                _column(start + floor),
                deduplicate,
            )
            for width, start in ((DISPATCH_WIDTH, calibration.dispatch_s), (COMBINE_WIDTH, calibration.combine_s))
        ]
        return one_way[0] + one_way[1]

    spread = _column(group.domains) > 1
    direct = all_to_all(0.0, False)
    return np.where(
        spread, np.minimum(direct, all_to_all(calibration.dispatch_s, True)), np.minimum(_column(everywhere), direct)
    )
