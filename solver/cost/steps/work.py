"""What one rank must do: FLOP, bytes and kernels, from the LLM's shape and the degrees of parallelism.

Nothing here knows a device's speed. Everything is a numpy array with one row per replica shape, so that thousands of
shapes (or measured points of different LLMs, see :func:`stack`) are priced in one pass. Axes: R rows, K kinds of layer,
S pipeline stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.steps.partition import balanced
from solver.llm import FFN, LLM, Attention, Layer, Precision
from solver.replica import Parallelism, Stages

Floats = NDArray[np.float64]
#: GEMMs around attention: queries, keys and values at once and the output; MLA's five low-rank ones.
PROJECTIONS, LATENT_PROJECTIONS = 2, 5
#: Bytes per element that dispatch (fp8 with a float32 scale per 128) and combine (bf16) put on the wire.
DISPATCH_WIDTH, COMBINE_WIDTH = 1 + 4 / 128, 2.0


@dataclass(frozen=True)
class Degrees:
    """Degrees of parallelism of many shapes, as columns (R,)."""

    tp: Floats
    pp: Floats
    ep: Floats
    dp: Floats
    moe_tp: Floats
    cp: Floats

    @classmethod
    def of(cls, shapes: Sequence[Parallelism]) -> Degrees:
        """The degrees of each shape."""
        return cls(**{f.name: np.array([getattr(shape, f.name) for shape in shapes], float) for f in fields(cls)})


@dataclass(frozen=True)
class StageFloor:
    """What the heaviest pipeline stage weighs in the best cut, at weights near those of the step that is priced.

    If every layer and the head weigh at least s times the reference weights, the heaviest stage of any cut weighs at
    least s times the reference optimum.

    Attributes
    ----------
    layer: reference seconds of one layer of each kind (R, K); 0 where a kind does not count.
    head: reference seconds of the output head (R,); 0 where it does not count.
    optimum: heaviest stage of the best cut at the reference weights (R,).
    """

    layer: Floats
    head: Floats
    optimum: Floats

    def rows(self, index: Any) -> StageFloor:
        """Some of the rows."""
        return StageFloor(self.layer[index], self.head[index], self.optimum[index])

    def heaviest(self, layer_s: Floats, head_s: Floats) -> Floats:
        """Lower bound on the heaviest stage at these weights [s] (R,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            layers = np.where(self.layer > 0, layer_s / self.layer, np.inf).min(axis=-1)
            head = np.where(self.head > 0, head_s / self.head, np.inf)
        scale = np.minimum(layers, head)
        return np.where(np.isfinite(scale), scale, 0.0) * self.optimum


@dataclass(frozen=True)
class Work:
    """Coefficients of a step, one row per replica shape; shapes of the arrays in brackets.

    Attributes
    ----------
    tp, pp, dp, ep, moe_tp: degrees (R,).
    layers: layers of each kind on each stage (R, S, K).
    last_stage: 1 where a stage carries the output head (R, S).
    project_in, project_out: attention parameters one rank multiplies before and after attention (R, K).
    project_bytes: their weights [bytes] (R, K).
    decode_flop, prefill_flop: attention FLOP per query token and key on one rank (R, K).
    key_bytes: KV cache read per attended key by one rank [bytes] (R, K).
    window: most recent keys attended to (R, K); 0 where attention is not local.
    stride: tokens behind one far key (R, K); infinite where there is no far attention.
    budget: most far keys attended to (R, K).
    index_flop, index_bytes: indexer FLOP per query token and far key, and its cache read per key [bytes] (R, K).
    state_bytes: recurrent state moved per sequence and step [bytes] (R, K).
    token_flop: attention FLOP per token that depend on no context (R, K).
    dense, dense_bytes: dense FFN parameters on a rank, and their weights [bytes] (R, K).
    shared, shared_bytes: the same of the shared experts (R, K).
    router: router and latent projections, bf16, whole on every rank (R, K).
    experts, top_k: routed experts and those a token visits on average (R, K); 0 in a dense layer.
    slots: expert copies on one rank (R, K).
    expert, expert_bytes: one expert's parameters on one rank, and their weights [bytes] (R, K).
    token_width: elements per token that the expert exchange carries (R, K).
    projections: GEMMs around attention (R, K).
    latent, recurrent, normed: 1 where decode attends to MLA's latent, keeps a recurrent state, or norms queries and keys
        (R, K).
    mixes, feeds: 1 where a layer has attention (or what stands for it), and where it has an FFN (R, K).
    head, head_bytes: output-head parameters on a rank, and their weights [bytes] (R,).
    hidden: width of the residual stream (R,).
    floor: a bound on the heaviest stage of any cut, where stages are idealised.
    """

    tp: Floats
    pp: Floats
    dp: Floats
    ep: Floats
    moe_tp: Floats
    layers: Floats
    last_stage: Floats
    project_in: Floats
    project_out: Floats
    project_bytes: Floats
    decode_flop: Floats
    prefill_flop: Floats
    key_bytes: Floats
    window: Floats
    stride: Floats
    budget: Floats
    index_flop: Floats
    index_bytes: Floats
    state_bytes: Floats
    token_flop: Floats
    dense: Floats
    dense_bytes: Floats
    shared: Floats
    shared_bytes: Floats
    router: Floats
    experts: Floats
    top_k: Floats
    slots: Floats
    expert: Floats
    expert_bytes: Floats
    token_width: Floats
    projections: Floats
    latent: Floats
    recurrent: Floats
    normed: Floats
    mixes: Floats
    feeds: Floats
    head: Floats
    head_bytes: Floats
    hidden: Floats
    floor: StageFloor | None = None

    def __len__(self) -> int:
        return len(self.tp)

    def rows(self, index: Any) -> Work:
        """Some of the rows, by index or mask."""
        picked = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "floor"}
        return Work(**picked, floor=None if self.floor is None else self.floor.rows(index))

    def evened(self) -> Work:
        """Every stage at the mean of its stages: what no cut into whole layers can beat."""
        depth = self.pp[:, None]
        present = np.arange(self.layers.shape[1]) < depth
        layers = present[:, :, None] * (self.layers.sum(axis=1) / depth)[:, None, :]
        return replace(self, layers=layers, last_stage=present / depth)

    @classmethod
    def of(cls, llm: LLM, degree: Degrees, redundant_experts: Floats, stages: Sequence[Stages]) -> Work:
        """Coefficients of an LLM cut as each shape says.

        Parameters
        ----------
        redundant_experts: spare expert copies of a replica (R,).
        stages: of each shape; :func:`default_stages` where empty.
        """
        kinds = [layer for layer, _ in llm.layer_kinds]
        per_kind = [_layer(layer, llm.precision, degree, redundant_experts) for layer in kinds]
        tables: dict[str, Any] = {name: np.stack([table[name] for table in per_kind], axis=1) for name in per_kind[0]}
        counts, last = _stage_counts(llm, kinds, _cuts(llm, degree.pp, stages))
        return cls(
            tp=degree.tp,
            pp=degree.pp,
            dp=degree.dp,
            ep=degree.ep,
            moe_tp=degree.moe_tp,
            **tables,
            layers=counts,
            last_stage=last,
            head=llm.head_parameters / degree.tp,
            head_bytes=llm.head_parameters * llm.precision.head.bytes_per_element / degree.tp,
            hidden=np.full(len(degree.tp), float(llm.hidden)),
        )


def _cuts(llm: LLM, depth: Floats, stages: Sequence[Stages]) -> list[Stages]:
    """The stages of every row, the default cut where none are given."""
    usual: dict[int, Stages] = {}
    found = []
    for pp, given in zip(depth.astype(int).tolist(), stages, strict=True):
        if not given and pp not in usual:
            usual[pp] = default_stages(llm, pp)
        found.append(given or usual[pp])
    return found


def default_stages(llm: LLM, pp: int) -> Stages:
    """Cut the layers so that the heaviest stage reads the fewest weights, embedding and head included."""
    if pp == 1:
        return ((0, len(llm.layers) - 1),)
    weight = {layer: layer.weight_bytes(llm.precision) for layer, _ in llm.layer_kinds}
    head = llm.head_parameters * llm.precision.head.bytes_per_element
    return tuple(balanced([weight[layer] for layer in llm.layers], pp, first=0.0, last=head))


def stack(works: Sequence[Work]) -> Work:
    """One table from several, padded to the most kinds and stages: a padded kind occurs on no stage."""
    kinds = max(work.layers.shape[2] for work in works)
    stages = max(work.layers.shape[1] for work in works)

    def padded(name: str, array: Floats) -> Floats:
        wanted = {
            1: array.shape,
            2: (len(array), stages if name == "last_stage" else kinds),
            3: (len(array), stages, kinds),
        }
        widths = [(0, w - s) for w, s in zip(wanted[array.ndim], array.shape, strict=True)]
        return np.pad(array, widths, constant_values=np.inf if name == "stride" else 0.0)

    columns = [f.name for f in fields(Work) if f.name != "floor"]
    tables: dict[str, Any] = {
        name: np.concatenate([padded(name, getattr(work, name)) for work in works]) for name in columns
    }
    return Work(**tables)


def _stage_counts(llm: LLM, kinds: list[Layer], cuts: Sequence[Stages]) -> tuple[Floats, Floats]:
    """Layers of each kind on each stage (R, S, K), and which stage carries the head (R, S)."""
    number = {layer: k for k, layer in enumerate(kinds)}
    before = np.zeros((len(llm.layers) + 1, len(kinds)))
    for position, layer in enumerate(llm.layers):
        before[position + 1] = before[position]
        before[position + 1, number[layer]] += 1
    most = max(len(cut) for cut in cuts)
    counts, last = np.zeros((len(cuts), most, len(kinds))), np.zeros((len(cuts), most))
    for row, cut in enumerate(cuts):
        for stage, (first, end) in enumerate(cut):
            counts[row, stage] = before[end + 1] - before[first]
        last[row, len(cut) - 1] = 1.0
    return counts, last


def _layer(layer: Layer, precision: Precision, degree: Degrees, redundant_experts: Floats) -> dict[str, Floats]:
    return {**_attention(layer.attention, precision, degree), **_ffn(layer.ffn, precision, degree, redundant_experts)}


def _attention(attention: Attention, precision: Precision, degree: Degrees) -> dict[str, Floats]:
    tp, one = degree.tp, np.ones_like(degree.tp)
    # KV heads are split over tp until each rank has one, then held more than once; cp splits the copies by position.
    split = np.minimum(tp, attention.kv_heads) * degree.cp
    # Keys are read from a window, from one entry per stride, or both; ``budget`` caps those that an indexer selects.
    local = attention.kind in ("sliding", "chunked", "compressed")
    far = attention.kind in ("full", "mla") or (attention.kind == "compressed" and attention.compression > 1)
    replicated = attention.replicated_parameters - attention.bf16_parameters
    return {
        "project_in": (attention.sharded_parameters - attention.output_parameters) / tp + replicated,
        "project_out": attention.output_parameters / tp,
        "project_bytes": attention.sharded_bytes(precision) / tp + attention.replicated_bytes(precision),
        "decode_flop": attention.decode_flop_per_key / tp,
        "prefill_flop": attention.prefill_flop_per_key / tp,
        "key_bytes": attention.kv_entry_bytes(precision.kv_cache) / split,
        "window": (float(attention.window or 0) if local else 0.0) * one,
        "stride": (float(attention.compression) if far else np.inf) * one,
        "budget": (float(attention.budget) if attention.budget else np.inf) * one,
        "index_flop": attention.indexer_flop_per_key * one,
        "index_bytes": attention.kv_extra_bytes_per_token / degree.cp,
        "state_bytes": 2 * attention.state_bytes / np.minimum(tp, max(attention.kv_heads, 1)),
        "token_flop": attention.flop_per_token / tp,
        "projections": (LATENT_PROJECTIONS if attention.low_rank else PROJECTIONS) * one,
        "latent": float(attention.kind == "mla") * one,
        "recurrent": float(attention.state_bytes > 0) * one,
        "normed": float(attention.normed) * one,
        "mixes": float(attention.kind != "none") * one,
    }


def _ffn(ffn: FFN, precision: Precision, degree: Degrees, redundant_experts: Floats) -> dict[str, Floats]:
    tp, one = degree.tp, np.ones_like(degree.tp)
    return {
        "dense": ffn.dense_parameters / tp,
        "dense_bytes": ffn.dense_bytes(precision) / tp,
        "shared": ffn.shared_parameters / tp,
        "shared_bytes": ffn.shared_bytes(precision) / tp,
        "router": (ffn.router_parameters + ffn.latent_parameters) * one,
        "experts": ffn.experts * one,
        "top_k": ffn.visited * one,
        "slots": (ffn.experts + redundant_experts) / degree.ep if ffn.experts else 0.0 * one,
        "expert": ffn.expert_parameters / degree.moe_tp if ffn.experts else 0.0 * one,
        "expert_bytes": ffn.expert_bytes(precision) / degree.moe_tp if ffn.experts else 0.0 * one,
        "token_width": (ffn.expert_hidden if ffn.experts else 0.0) * one,
        "feeds": float(not ffn.absent) * one,
    }
