"""Seconds of one engine step: a roofline for every block, collectives, and what each kernel and step costs besides.

Per attention rank a step carries ``decode`` sequences of ``queries`` tokens each and ``prefill`` prompt tokens::

    step = T0 + s decode + head + sum over layers [ launches + projections + attention + FFN + collectives ]

Every block is ``(compute^p + memory^p)^(1/p) + activations``, each at the rate its kernels were measured at. With
pipeline stages the sums run over each stage's layers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.cost.network.collectives import (
    all_reduce,
    all_reduce_across,
    expert_exchange,
    gather_and_scatter,
    token_copies,
)
from solver.cost.steps.roofline import block, experts_touched
from solver.cost.steps.speeds import Rate, Speeds
from solver.cost.steps.work import COMBINE_WIDTH, DISPATCH_WIDTH, Work

Floats = NDArray[np.float64]

#: An indexer's score of one key for one query: a float32.
SCORE_BYTES = 4


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
class StagePlacement:
    """Where the ranks of a stage sit, and how evenly experts load them; arrays (R,).

    Attributes
    ----------
    domains: scale-up domains over which one stage's expert group spreads; tensor_domains: over which a tensor-parallel
        group does.
    imbalance: hottest expert rank over the mean.
    overlap: 1 where two half-batches hide the exchange behind compute.
    largest: expected largest of as many standard normal numbers as an expert group has ranks.
    """

    domains: Floats
    tensor_domains: Floats
    imbalance: Floats
    overlap: Floats
    largest: Floats

    @classmethod
    def of(
        cls, ranks: Floats, domains: Floats, tensor_domains: Floats, imbalance: Floats, overlap: Floats
    ) -> StagePlacement:
        """Groups of ``ranks`` expert ranks (Blom's approximation of the largest)."""
        normal = NormalDist()
        known = {n: normal.inv_cdf((n - 0.375) / (n + 0.25)) for n in np.unique(ranks).tolist()}
        return cls(domains, tensor_domains, imbalance, overlap, np.array([known[n] for n in ranks.tolist()]))

    def with_imbalance(self, imbalance: Floats) -> StagePlacement:
        """The same placement of experts that are loaded less or more evenly."""
        return replace(self, imbalance=imbalance)

    def rows(self, index: Any) -> StagePlacement:
        """Some of the rows, by index or mask."""
        return StagePlacement(*(getattr(self, f.name)[index] for f in fields(self)))


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
        through: Floats = self.stage_s.sum(axis=-1) + self.hops_s
        return through

    @property
    def slowest_s(self) -> Floats:
        """The stage that limits throughput (R,)."""
        slowest: Floats = self.stage_s.max(axis=-1)
        if self.work.floor is None:
            return slowest
        return np.maximum(slowest, self.fixed_s + self.work.floor.heaviest(self.layer_s, self.head_s))

    def times(self, pace: Floats) -> StepTime:
        """The same step where everything takes so many times as long (R,)."""
        each = pace[:, None]
        compute, memory, network, kernels = (part * each for part in self.layer_parts_s)
        return replace(
            self,
            stage_s=self.stage_s * each,
            hops_s=self.hops_s * pace,
            layer_s=self.layer_s * each,
            head_s=self.head_s * pace,
            fixed_s=self.fixed_s * pace,
            layer_parts_s=(compute, memory, network, kernels),
            head_parts_s=(self.head_parts_s[0] * pace, self.head_parts_s[1] * pace),
        )

    def parts_s(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Compute, memory, network and overhead of the whole way through the stages, each alone (R,)."""
        compute, memory, network, kernels = (_over_stages(self.work, part).sum(axis=-1) for part in self.layer_parts_s)
        overhead = kernels + self.fixed_s * self.work.pp
        return compute + self.head_parts_s[0], memory + self.head_parts_s[1], network + self.hops_s, overhead


def step(work: Work, speeds: Speeds, group: StagePlacement, load: Load) -> StepTime:
    """Price one step of every row; of several steps at once where what they carry has axes before the rows (..., R).

    With two-batch overlap each layer runs twice on half the tokens, and the exchange of one half hides behind the
    compute of the other: ``2 max(blocks, network)``, weights read and kernels launched twice.
    """
    # One pass with all tokens, or two with half of them each.
    halves = 1 + _column(group.overlap)
    part = load.divided(1 + group.overlap)
    blocks, compute, memory = _blocks(work, speeds, group, part)
    network = _network(work, speeds, group, part)
    # Graphs capture part of the launches; steps with prompts run outside of them to some extent.
    launches = _launches(work, speeds) * _column(
        speeds.captured * np.where(load.prefill > 0, 1 + speeds.prefill_launch, 1.0)
    )
    layer = halves * (np.where(halves > 1, np.maximum(blocks, network), blocks + network) + launches)
    head, head_compute, head_memory = _head(work, speeds, load)
    fixed = speeds.step_s + speeds.sequence_s * load.decode
    # Scheduler and sampler cost every stage that a row has; activations in bf16 cross between stages.
    present = np.arange(work.layers.shape[1]) < _column(work.pp)
    sent = (load.decode * load.queries + load.prefill) * work.hidden * 2 / work.tp
    return StepTime(
        work,
        stage_s=_over_stages(work, layer) + present * _column(fixed) + work.last_stage * _column(head),
        hops_s=(work.pp - 1) * (speeds.hop_s + sent / speeds.scale_out),
        layer_s=layer,
        head_s=head,
        fixed_s=fixed,
        layer_parts_s=(halves * compute, halves * memory, halves * network, halves * launches),
        head_parts_s=(head_compute, head_memory),
    )


def _over_stages(work: Work, per_layer: Floats) -> Floats:
    """Sum a quantity of one layer (..., R, K) over the layers of each stage (..., R, S)."""
    kinds = range(work.layers.shape[2])
    return np.asarray(sum(work.layers[:, :, kind] * per_layer[..., kind, None] for kind in kinds))


def _column(values: Floats | float) -> Floats:
    """(R,) or a scalar as a column that broadcasts over stages or kinds."""
    return np.asarray(values, float)[..., None]


def _blocks(work: Work, speeds: Speeds, group: StagePlacement, load: Load) -> tuple[Floats, Floats, Floats]:
    """Seconds of one layer's blocks, and of their compute and memory traffic alone; each (R, K)."""
    tokens = _column(load.decode * load.queries + load.prefill)
    blocks: list[_Block] = [
        _projections(work, speeds, tokens),
        _decode_attention(work, speeds, load),
        _dense(work, speeds, tokens),
        _shared(work, speeds, tokens),
        _router(work, speeds, tokens),
        _experts(work, speeds, group, load),
    ]
    if np.any(load.prefill > 0):
        blocks.append(_prefill_attention(work, speeds, load))
    smoothness = float(np.max(speeds.smoothness))
    compute = sum(b.compute for b in blocks)
    memory = sum(b.memory + b.moved for b in blocks)
    together = sum(block(b.compute, b.memory, smoothness) + b.moved for b in blocks)
    return np.asarray(together), np.asarray(compute), np.asarray(memory)


class _Block(NamedTuple):
    """One block of one layer: seconds of its FLOPs, of its weights or cache, and of its activations; each (R, K)."""

    compute: Floats
    memory: Floats
    moved: Floats


def _gemm(rate: Rate, tokens: Floats, parameters: Floats, size: Floats, activations: Floats) -> _Block:
    """A GEMM of every token with ``parameters`` of ``size`` bytes, reading and writing ``activations`` per token."""
    return _Block(
        2 * tokens * parameters * _column(rate.flop),
        size * _column(rate.byte),
        tokens * activations * _column(rate.move),
    )


def _projections(work: Work, speeds: Speeds, tokens: Floats) -> _Block:
    hidden = _column(work.hidden)
    into, out = speeds.project_in, speeds.project_out
    compute = 2 * tokens * (work.project_in * _column(into.flop) + work.project_out * _column(out.flop))
    moved = 2 * (hidden + work.project_in / hidden) * _column(into.move)
    moved = moved + 2 * (work.project_out / hidden + hidden) * _column(out.move)
    return _Block(compute, work.project_bytes * _column(into.byte), tokens * moved)


def _decode_attention(work: Work, speeds: Speeds, load: Load) -> _Block:
    """One query per running sequence (or a few drafts) against its cache, and what a recurrent layer computes.

    Drafts read the cache together; where keys are selected each gathers its own, but they still share an indexer's.
    """
    keys, scored = attended_keys(work, _column(load.context))
    queries = _column(load.queries)
    flop = _column(load.decode * load.queries) * (keys * work.decode_flop + scored * work.index_flop)
    gathered = keys * np.where(_selects(work), queries, 1.0) * work.key_bytes
    read = _column(load.decode) * (gathered + scored * work.index_bytes + work.state_bytes)
    attention = speeds.attention
    each = np.where(work.latent > 0, _column(speeds.latent_flop), _column(attention.flop))
    tokens = _column(load.decode * load.queries + load.prefill)
    recurrent = tokens * work.token_flop * _column(attention.flop)
    scores = _column(load.decode * load.queries * attention.move) * scored * SCORE_BYTES
    return _Block(flop * each + recurrent, read * _column(attention.byte), scores)


def _prefill_attention(work: Work, speeds: Speeds, load: Load) -> _Block:
    """Compute-bound, and its queries, keys, values and outputs cross HBM a few times.

    Where keys are selected, every query gathers those of its own, and all scores cross HBM: as many bytes as in decode.
    """
    keys, scored = attended_keys(work, _column(load.prefill_keys), spread=True)
    flop = _column(load.prefill) * (keys * work.prefill_flop + scored * work.index_flop)
    hidden = _column(work.hidden)
    width = 2 * (2 * hidden + (work.project_in + work.project_out) / hidden)
    moved = _column(load.prefill * speeds.prompt.move) * width
    compute, selects = flop * _column(speeds.prompt.flop), _selects(work)
    if not np.any(selects):
        return _Block(compute, np.zeros_like(flop), moved)
    moved = moved + _column(load.prefill * speeds.attention.move) * scored * SCORE_BYTES
    gathered = _column(load.prefill * speeds.prompt.byte) * selects * keys * work.key_bytes
    return _Block(compute, gathered, moved)


def _selects(work: Work) -> NDArray[np.bool_]:
    """Whether every query reads keys of its own: a few that were selected for it (R, K)."""
    return np.isfinite(work.budget) & (work.budget > 0)


def attended_keys(work: Work, context: Floats, spread: bool = False) -> tuple[Floats, Floats]:
    """Keys that a query at this context attends to, and those that an indexer scores for it; (R, K).

    Parameters
    ----------
    spread: whether queries lie evenly between none and twice as much context, as those of a prompt do: on average the least of
        a budget b and a number between 0 and 2 m is ``b - b^2 / (4 m)``.
    """
    far = context / work.stride
    chosen = np.minimum(far, work.budget)
    if spread and np.any(_selects(work)):
        few = np.where(_selects(work), np.minimum(work.budget, 2 * far), 0.0)
        chosen = np.where(few > 0, few - few**2 / np.maximum(4 * far, 1e-9), chosen)
    return np.minimum(context, work.window) + chosen, np.where(work.index_flop > 0, far, 0.0)


def _ffn_activations(work: Work, parameters: Floats) -> Floats:
    """Bytes per token that a gated FFN of so many parameters reads and writes: hidden twice, its width three times."""
    hidden = _column(work.hidden)
    return np.where(parameters > 0, 2 * (2 * hidden + parameters / hidden), 0.0)


def _dense(work: Work, speeds: Speeds, tokens: Floats) -> _Block:
    return _gemm(speeds.dense, tokens, work.dense, work.dense_bytes, _ffn_activations(work, work.dense))


def _shared(work: Work, speeds: Speeds, tokens: Floats) -> _Block:
    return _gemm(speeds.shared, tokens, work.shared, work.shared_bytes, _ffn_activations(work, work.shared))


def _router(work: Work, speeds: Speeds, tokens: Floats) -> _Block:
    return _gemm(speeds.plain, tokens, work.router, 2 * work.router, np.zeros_like(work.router))


def _experts(work: Work, speeds: Speeds, group: StagePlacement, load: Load) -> _Block:
    """The hottest rank: its share of the group's tokens, and the copies on it that at least one of them selects.

    Besides its standing imbalance the hottest of several ranks is above its share by chance in every step: by the
    expected largest of as many normal deviations (Blom 1958), of the selected copies and of the token-expert pairs.
    """
    own = load.decode * load.queries
    everyone = _column(work.dp * own + load.prefill + (work.dp - 1) * load.others)
    chance = _column(speeds.routing_scatter * group.largest)
    uneven = np.where(_column(work.ep) > 1, _column(group.imbalance), 1.0)
    mean = everyone * work.top_k / _column(work.ep)
    pairs = uneven * mean + chance * np.sqrt(mean)
    copies = np.maximum(work.slots * _column(work.ep), 1)
    spread = _column(speeds.routing_spread)
    share = experts_touched(copies, work.top_k, spread * everyone * work.experts / copies) / copies
    touched = work.slots * share
    touched = np.minimum(work.slots, touched + chance * np.sqrt(np.maximum(touched * (1 - share), 0.0)))
    rate = speeds.experts
    return _Block(
        2 * pairs * work.expert * _column(rate.flop),
        touched * work.expert_bytes * _column(rate.byte),
        2 * pairs * work.token_width * _column(rate.move),
    )


def _launches(work: Work, speeds: Speeds) -> Floats:
    """Launches and small kernels of one layer when every kernel is launched by itself [s] (R, K)."""

    def ffn(rate: Rate, parameters: Floats) -> Floats:
        return (parameters > 0) * _column(2 * rate.launch + speeds.activation_s)

    return (
        (work.projections - 1) * work.mixes * _column(speeds.project_in.launch)
        + work.mixes * _column(speeds.project_out.launch + speeds.attention.launch)
        + (work.mixes + work.feeds) / 2 * _column(speeds.layer_s)
        + work.recurrent * _column(speeds.recurrent_s)
        + work.normed * _column(speeds.head_norm_s)
        + (work.index_flop > 0) * _column(_indexer(speeds))
        + ffn(speeds.dense, work.dense)
        + ffn(speeds.shared, work.shared)
        + (work.top_k > 0) * _column(speeds.experts.launch)
    )


def _indexer(speeds: Speeds) -> Floats:
    """An indexer's further kernels: its query, key and weight GEMMs, norm with rotary embedding and quantisation, scores and
    top-k [s] (R,)."""
    gemms = 2 * speeds.project_in.launch + speeds.plain.launch
    return np.asarray(gemms + speeds.layer_s / 2 + 2 * speeds.attention.launch)


def _head(work: Work, speeds: Speeds, load: Load) -> tuple[Floats, Floats, Floats]:
    """Logits of every running token, and of one token of each prompt chunk; (R,)."""
    logits = load.decode * load.queries + (load.prefill > 0)
    compute = 2 * logits * work.head * speeds.head_flop
    memory = work.head_bytes * speeds.plain.byte
    return block(compute, memory, float(np.max(speeds.smoothness))), compute, memory


def _network(work: Work, speeds: Speeds, group: StagePlacement, load: Load) -> Floats:
    """Seconds of one layer's collectives (R, K).

    Tensor parallelism reduces after attention and after the FFN, where a layer has them. Experts shared by data-parallel
    ranks replace the second reduction with an exchange.
    """
    tokens = load.decode * load.queries + load.prefill
    size = tokens * work.hidden * 2
    reduce = _column(_all_reduce(work, speeds, group, size))
    exchanging = (work.top_k > 0) & (_column(work.dp) > 1)
    if not np.any(exchanging):
        return reduce * (work.mixes + work.feeds)
    fastest = np.minimum.reduce([kernel.seconds for kernel in _exchange_kernels(work, speeds, group, tokens)])
    return reduce * work.mixes + np.where(exchanging, fastest, reduce * work.feeds)


def _all_reduce(work: Work, speeds: Speeds, group: StagePlacement, size: Floats) -> Floats:
    """Seconds of a tensor-parallel group's all-reduce of ``size`` bytes (R,)."""
    if not np.any(group.tensor_domains > 1):
        return all_reduce(work.tp, size, speeds.scale_up, speeds.all_reduce_s, speeds.all_reduce_growth)
    return all_reduce_across(
        work.tp,
        group.tensor_domains,
        size,
        inside=speeds.scale_up,
        outside=speeds.scale_out,
        latency=speeds.all_reduce_s,
        growth=speeds.all_reduce_growth,
        hop=speeds.hop_s,
    )


@dataclass(frozen=True)
class ExpertExchange:
    """Dispatch and combine of one layer among the expert group, as one of an engine's kernels does it (R, K).

    Attributes
    ----------
    outside_bytes, inside_bytes: what an average rank sends out of its scale-up domain and within it, both ways.
    """

    seconds: Floats
    outside_bytes: Floats
    inside_bytes: Floats


def fastest_exchange(work: Work, speeds: Speeds, group: StagePlacement, tokens: Floats) -> ExpertExchange:
    """The exchange of so many tokens of each attention rank (R,), by the kernel that is fastest in each row and layer."""
    kernels = _exchange_kernels(work, speeds, group, tokens)
    best = np.argmin([kernel.seconds for kernel in kernels], axis=0)
    chosen = (
        np.choose(best, [getattr(kernel, name) for kernel in kernels])
        for name in ("seconds", "outside_bytes", "inside_bytes")
    )
    present = (work.top_k > 0) & (_column(work.dp) > 1)
    return ExpertExchange(*(np.where(present, table, 0.0) for table in chosen))


def _exchange_kernels(work: Work, speeds: Speeds, group: StagePlacement, tokens: Floats) -> list[ExpertExchange]:
    """Every way in which an engine could exchange tokens; those that cannot take infinitely long.

    Inside one domain: all-gather and reduce-scatter of every rank's tokens, or an all-to-all. Across domains:
    low-latency kernels, or high-throughput ones that send a token once per domain.
    """
    several = _column(group.domains) > 1
    # Each rank of a tensor-parallel group sends its part of the tokens; the hottest expert rank decides.
    share = tokens / work.tp
    uneven = _column(np.where(work.ep > 1, group.imbalance, 1.0))

    def all_to_all(floor: Floats, deduplicate: bool) -> ExpertExchange:
        # Copies of a token that leave the domain and that stay: one for each expert, or one for each domain.
        copies = token_copies(work.top_k, work.experts, _column(group.domains), deduplicate)
        outside, inside = (_column(share) * each * work.token_width for each in copies)
        seconds = [
            expert_exchange(
                outside * uneven * width,
                inside * uneven * width,
                _column(speeds.scale_up),
                _column(speeds.scale_out),
                _column(start + floor),
            )
            for width, start in ((DISPATCH_WIDTH, speeds.dispatch_s), (COMBINE_WIDTH, speeds.combine_s))
        ]
        both = DISPATCH_WIDTH + COMBINE_WIDTH
        return ExpertExchange(seconds[0] + seconds[1], outside * both, inside * both)

    # Low-latency kernels send every copy; an all-gather moves everything, but only inside a domain.
    direct = all_to_all(np.zeros(1), False)
    gathered = gather_and_scatter(work.dp, tokens * work.hidden * 2, speeds.scale_up, speeds.gather_s)
    shape = direct.seconds.shape
    everywhere = ExpertExchange(
        np.where(several, np.inf, np.broadcast_to(_column(gathered), shape)),
        np.zeros(shape),
        np.broadcast_to(_column(2 * (work.dp - 1) * tokens * work.hidden * 2), shape),
    )
    if not np.any(several):
        return [everywhere, direct]
    # High-throughput kernels send once to each domain, start later in both directions, and are for several domains alone.
    once = all_to_all(speeds.dispatch_s, True)
    once = replace(once, seconds=np.where(several, once.seconds, np.inf))
    return [everywhere, direct, once]
