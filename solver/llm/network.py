"""An LLM as a planner sees it: layers in order, their parameters, weights and KV cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import Any

from solver.errors import BadInput
from solver.llm.attention import Attention
from solver.llm.dtypes import FP8_DS_MLA, Dtype
from solver.llm.ffn import FFN
from solver.llm.precision import Precision, Weights

LLMSource = str | PathLike[str] | Mapping[str, Any]
"""What a user may give as an LLM: a catalog name, a path or a parsed config."""
Finder = Callable[[LLMSource, str | None], "LLM"]
"""Finds the LLM of a source, read as a family where one is named."""

_FINDERS: list[Finder] = []


@dataclass(frozen=True)
class Layer:
    """One layer: attention (or what stands for it), then feed-forward network; either may be absent."""

    attention: Attention
    ffn: FFN

    @property
    def parameters(self) -> int:
        """All parameters of the layer."""
        return self.attention.parameters + self.ffn.parameters

    @property
    def active_parameters(self) -> int:
        """Parameters that one token meets."""
        return self.attention.parameters + self.ffn.active_parameters

    def weight_bytes(self, precision: Precision) -> float:
        """All weights of the layer [bytes]."""
        attention = self.attention.sharded_bytes(precision) + self.attention.replicated_bytes(precision)
        routed = self.ffn.experts * self.ffn.expert_bytes(precision)
        dense = self.ffn.dense_bytes(precision) + self.ffn.shared_bytes(precision)
        return attention + dense + routed + self.ffn.replicated_bytes


@dataclass(frozen=True)
class LLM:
    """The network being served: text part only, without vision or audio encoders.

    Attributes
    ----------
    name: short name.
    hidden: width of the residual stream.
    vocab: rows of the embedding and of the head.
    layers: every layer in order, so that pipeline stages can be cut.
    title: name for people.
    tied_embeddings: the head is the embedding's matrix, stored once.
    table_parameters: of tables beside the word embedding of which a token reads one row: learned positions (GPT-2),
        inputs of each layer (Gemma-3n).
    mtp_layers: multi-token-prediction layers in the checkpoint; not in ``layers`` nor in any total unless said.
    encoder_bytes: HBM that an image or audio encoder takes on every rank, weights and peak, where it was measured
    [bytes].
    max_context: longest context the network was released for [tokens].
    precision: number format of each part.
    source: where the shape comes from.
    as_of: when it was read (year-month).
    notes: what had to be assumed or left out while it was read, one sentence each.

    >>> LLM.from_config("llama-3.1-8b").kv_bytes_per_token
    131072.0
    """

    name: str
    hidden: int
    vocab: int
    layers: tuple[Layer, ...] = field(repr=False)
    title: str = ""
    tied_embeddings: bool = False
    table_parameters: int = 0
    mtp_layers: int = 0
    max_context: int = 131072
    encoder_bytes: float = field(default=0.0, compare=False)
    precision: Precision = field(default_factory=Precision)
    source: str = ""
    as_of: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.layers or min(self.hidden, self.vocab, self.max_context) < 1 or self.mtp_layers < 0:
            raise BadInput(f"LLM {self.name!r}: layers, hidden, vocab and max_context must be at least 1, mtp_layers 0")

    @classmethod
    def from_config(
        cls,
        source: LLMSource,
        weights: Weights = "checkpoint",
        kv_cache: str | Dtype = "auto",
        family: str | None = None,
    ) -> LLM:
        """Read an LLM from the catalog or from a Hugging Face ``config.json``.

        Parameters
        ----------
        source: name or alias in the catalog (letters' case does not matter), path to a ``config.json`` or to the folder
            that holds it (a ``hf_quant_config.json`` beside it is read too), or the parsed config.
        weights: ``"checkpoint"`` (per part, as the quantisation config says), one dtype for all linear parts, or a
            mapping from part to dtype (see :class:`Precision`).
        kv_cache: ``"auto"`` (what the checkpoint declares, else bf16) or a dtype.
        family: family of architectures to read a config as, on the caller's own responsibility; None = the one it names.

        Raises
        ------
        UnknownName: no catalog entry (or dtype) of this name; carries the nearest.
        UnknownArchitecture: the config's family is not known, or it lacks keys that the family needs.
        BadFile, BadInput: the file cannot be read, or a value in it makes no sense; names file and key.
        """
        return _FINDERS[-1](source, family).with_precision(weights, kv_cache)

    def with_precision(self, weights: Weights = "checkpoint", kv_cache: str | Dtype = "auto") -> LLM:
        """Return this LLM with other number formats.

        >>> print(LLM.from_config("llama-3.1-8b").with_precision("fp8", kv_cache="fp8").precision.experts)
        fp8
        """
        precision = self.precision.with_weights(weights).with_kv_cache(kv_cache)
        latent = any(kind.attention.kv_mixed_bytes_per_token for kind, _ in self.layer_kinds)
        if precision.kv_cache == FP8_DS_MLA and not latent:
            raise BadInput(f"{self.name}: KV-cache dtype fp8_ds_mla is for multi-head latent attention; fp8 works here")
        return replace(self, precision=precision)

    def __str__(self) -> str:
        active = f", {self.active_parameters() / 1e9:,.1f} B active" if self.experts else ""
        return (
            f"{self.title or self.name}: {self.parameters / 1e9:,.1f} B parameters{active}, {len(self.layers)} layers, "
            f"{self.kv_bytes_per_token:,.0f} B of KV cache per token"
        )

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding and of the tables beside it."""
        return self.vocab * self.hidden + self.table_parameters

    @property
    def head_parameters(self) -> int:
        """Parameters of the head; those of the embedding where the two are tied."""
        return self.vocab * self.hidden

    @cached_property
    def parameters(self) -> int:
        """All parameters: layers, norms, embedding, and the head unless it is tied. MTP layers are not counted.

        >>> LLM.from_config("llama-3.1-8b").parameters
        8030261248
        """
        head = 0 if self.tied_embeddings else self.head_parameters
        return (
            sum(k * layer.parameters for layer, k in self.layer_kinds) + self.hidden + self.embedding_parameters + head
        )

    def active_parameters(self, *, embedding: bool = False, head: bool = True) -> int:
        """Parameters that one token meets, top_k of the routed experts.

        Parameters
        ----------
        embedding: count the input embedding, of which a token reads one row.
        head: count the head, a matrix product like the others. A tied matrix counts once.

        Publishers differ: DeepSeek counts both, gpt-oss the head only, GLM neither.
        """
        matrices = embedding + head if not self.tied_embeddings else embedding or head
        layers = sum(k * layer.active_parameters for layer, k in self.layer_kinds)
        tables = self.table_parameters if embedding else 0
        return layers + self.hidden + matrices * self.vocab * self.hidden + tables

    @property
    def mtp_layer(self) -> Layer:
        """Layer inside each multi-token-prediction module: like the last one, or the last attention and the last FFN."""
        last = self.layers[-1]
        if last.attention.kind != "none" and not last.ffn.absent:
            return last
        ffns = [layer.ffn for layer in self.layers if not layer.ffn.absent]
        attentions = [layer.attention for layer in self.layers if layer.attention.kind != "none"]
        keeping = [attention for attention in attentions if attention.kind != "linear"]
        return Layer((keeping or attentions or [last.attention])[-1], (ffns or [last.ffn])[-1])

    @property
    def mtp_parameters(self) -> int:
        """Parameters of all MTP modules: a layer, a projection 2 hidden -> hidden and three norms each.

        Embedding and head are the main network's (DeepSeek's checkpoints hold copies).
        """
        return self.mtp_layers * (self.mtp_layer.parameters + 2 * self.hidden**2 + 3 * self.hidden)

    @property
    def embedding_bytes(self) -> float:
        """Input embedding [bytes]."""
        return self.embedding_parameters * self.precision.embedding.bytes_per_element

    @property
    def head_bytes(self) -> float:
        """Head [bytes]; 0 where it is the embedding."""
        return 0.0 if self.tied_embeddings else self.head_parameters * self.precision.head.bytes_per_element

    @cached_property
    def weight_bytes(self) -> float:
        """All weights without MTP layers [bytes]."""
        layers = sum(k * layer.weight_bytes(self.precision) for layer, k in self.layer_kinds)
        return layers + 2 * self.hidden + self.embedding_bytes + self.head_bytes

    @cached_property
    def mtp_weight_bytes(self) -> float:
        """Weights of the MTP modules, without copies of embedding and head [bytes]."""
        precision = self.precision.with_weights(self.precision.mtp)
        projection = 2 * self.hidden**2 * self.precision.mtp.bytes_per_element
        return self.mtp_layers * (self.mtp_layer.weight_bytes(precision) + projection + 6 * self.hidden)

    @cached_property
    def kv_bytes_per_token(self) -> float:
        """KV cache per token over all layers, as if no layer had a window [bytes].

        Compressed layers count one entry per ``compression`` tokens; linear layers nothing. See :meth:`kv_bytes` for a
        sequence of given length.
        """
        cache = self.precision.kv_cache
        return sum(k * layer.attention.kv_bytes_per_token(cache) for layer, k in self.layer_kinds)

    def kv_bytes(self, context_tokens: float) -> float:
        """KV cache and state of one sequence, windows and compression respected [bytes].

        >>> gpt_oss = LLM.from_config("gpt-oss-120b")
        >>> gpt_oss.kv_bytes(1000), 1000 * gpt_oss.kv_bytes_per_token
        (41582592.0, 73728000.0)
        """
        cache = self.precision.kv_cache
        return sum(k * layer.attention.kv_bytes(context_tokens, cache) for layer, k in self.layer_kinds)

    @cached_property
    def layer_kinds(self) -> tuple[tuple[Layer, int], ...]:
        """Distinct layers with how often each occurs, in order of first appearance."""
        return count_kinds(self.layers)

    @property
    def moe_layers(self) -> int:
        """Number of layers with routed experts."""
        return sum(k for layer, k in self.layer_kinds if layer.ffn.experts)

    @property
    def experts(self) -> int:
        """Routed experts of a layer (the most of any); 0 for a dense LLM."""
        return max(layer.ffn.experts for layer, _ in self.layer_kinds)

    @property
    def top_k(self) -> int:
        """Routed experts that a token visits in a layer (the most of any); 0 for a dense LLM."""
        return max(layer.ffn.top_k for layer, _ in self.layer_kinds)


def count_kinds(layers: Iterable[Layer]) -> tuple[tuple[Layer, int], ...]:
    """Distinct layers with how often each occurs, in order of first appearance; for a stage of a pipeline too."""
    counts: dict[Layer, int] = {}
    for layer in layers:
        counts[layer] = counts.get(layer, 0) + 1
    return tuple(counts.items())


def finder(find: Finder) -> Finder:
    """Make a function the one that :meth:`LLM.from_config` asks.

    The catalog and the reader of configs build LLMs, so they stand above this module; ``solver.llm`` brings them along.
    """
    _FINDERS.append(find)
    return find
