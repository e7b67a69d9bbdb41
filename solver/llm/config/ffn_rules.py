"""How a family spells its feed-forward networks in ``config.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from solver.llm.attention_shapes import hyper
from solver.llm.config.attention_rules import NORM_WIDTHS, residual_norms, said, shares_cache, two_way_hyper
from solver.llm.config.reader import MAX_LAYERS, Config
from solver.llm.ffn import FFN


def every_layer(config: Config, layer: int) -> bool:
    """All layers have experts."""
    return True


def after_first_dense(config: Config, layer: int) -> bool:
    """The first ``first_k_dense_replace`` layers are dense, then every ``moe_layer_freq``-th has experts.

    A list in ``moe_layer_freq`` says 0 or 1 per layer, one in ``mlp_layer_types`` dense or sparse.
    """
    typed = by_mlp_type(config, layer)
    if typed is not None:
        return typed
    if isinstance(config.raw("moe_layer_freq"), list):
        return bool(config.integers("moe_layer_freq", config.count("num_hidden_layers"), high=1)[layer])
    first = config.count("first_k_dense_replace", low=0)
    return layer >= first and layer % config.count("moe_layer_freq", 1) == 0


def by_mlp_type(config: Config, layer: int) -> bool | None:
    """Whether ``mlp_layer_types`` says that a layer has experts; None where it says nothing."""
    kinds = config.strings("mlp_layer_types", config.count("num_hidden_layers"))
    if not kinds:
        return None
    if kinds[layer] not in ("dense", "sparse", "moe", "hash_moe"):
        raise config.bad(f"mlp_layer_types[{layer}]", f"is {kinds[layer][:40]!r}; known: dense, sparse, moe")
    return kinds[layer] != "dense"


def by_period(config: Config, layer: int) -> bool:
    """Every ``expert_layer_period``-th layer from ``expert_layer_offset`` on has experts (Jamba)."""
    period, offset = config.count("expert_layer_period", 2), config.count("expert_layer_offset", 1, low=0)
    return layer % period == offset % period


def between(config: Config, layer: int) -> bool:
    """Every ``moe_layer_interval``-th layer from ``moe_layer_start_index`` to ``moe_layer_end_index`` (ERNIE-4.5)."""
    typed = by_mlp_type(config, layer)
    if typed is not None:
        return typed
    layers = config.count("num_hidden_layers")
    first = config.count("moe_layer_start_index", 0, low=0)
    last = config.count("moe_layer_end_index", layers - 1, low=-1)
    interval = config.count("moe_layer_interval", 1)
    return first <= layer <= (last if last >= 0 else layers - 1) and (layer + 1) % interval == 0


def enumerated(config: Config, layer: int) -> bool:
    """``moe_layers_enum`` lists the layers with experts, separated by commas (Step-3.5)."""
    listed = config.raw("moe_layers_enum")
    if isinstance(listed, str):
        numbers = [word.strip() for word in listed.split(",") if word.strip()]
        if not all(word.isdecimal() for word in numbers):
            raise config.bad("moe_layers_enum", f"must list layers, not {listed[:40]!r}")
        return str(layer) in numbers
    if isinstance(listed, list):
        return layer in config.integers("moe_layers_enum", high=MAX_LAYERS)
    return after_first_dense(config, layer)


def every_sparse_step(config: Config, layer: int) -> bool:
    """Every ``decoder_sparse_step``-th layer has experts, unless ``mlp_only_layers`` lists it (Qwen)."""
    typed = by_mlp_type(config, layer)
    if typed is not None:
        return typed
    return (layer + 1) % config.count("decoder_sparse_step", 1) == 0 and layer not in config.integers("mlp_only_layers")


def interleaved(config: Config, layer: int) -> bool:
    """``moe_layers`` lists the layers with experts, else every ``interleave_moe_layer_step``-th (Llama-4)."""
    if config.has("moe_layers"):
        return layer in config.integers("moe_layers", high=MAX_LAYERS)
    return (layer + 1) % config.count("interleave_moe_layer_step") == 0


@dataclass(frozen=True)
class Dense:
    """Every layer has the same kind of dense FFN.

    Attributes
    ----------
    width: key of the inner width, which may be a list with an entry per layer.
    ratio: inner over outer width where the key is absent; 0 = the key is needed.
    norms: norms of width hidden; norm: their kind, of :data:`solver.llm.config.attention_rules.NORM_WIDTHS`.
    adjust: how the width that the key gives becomes the real one (LFM2).
    """

    width: str = "intermediate_size"
    ratio: int = 0
    bias: bool | str = False
    gated: bool = True
    norms: int = 1
    norm: str = "rms"
    adjust: Callable[[Config, int], int] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return () if self.ratio else (self.width,)

    def __call__(self, config: Config, layer: int) -> FFN:
        hidden = config.count("hidden_size")
        width = config.count(self.width, hidden * self.ratio or None, layer=layer)
        return FFN(
            hidden,
            width=self.adjust(config, width) if self.adjust else width,
            bias=said(config, self.bias),
            gated=self.gated,
            norms=self.norms if self.norm == "rms" else 0,
            extra_parameters=extra_of_norms(hidden, self.norms, self.norm),
        )


def extra_of_norms(hidden: int, norms: int, norm: str) -> int:
    """Parameters of norms that are not plain vectors of width hidden."""
    return 0 if norm == "rms" else norms * NORM_WIDTHS[norm] * hidden


@dataclass(frozen=True)
class Experts:
    """Routed experts, in all layers or some; the keys' names differ by family.

    Attributes
    ----------
    count, top_k, width: keys of the number of routed experts, of those a token visits, and of one expert's inner width.
    shared_count: key of the number of shared experts, each as wide as a routed one (absent = none).
    shared_width: key of the inner width of the shared expert, or of each where ``shared_count`` is given too.
    one_shared: there is always one shared expert, as wide as a routed one (Llama-4).
    sparse: which layers have experts.
    dense_width: key of the inner width of the other layers' FFN; None where there are none.
    routing_bias: True, False, or the value of ``topk_method`` or the key that means a bias per expert.
    beside_dense: a dense FFN of this key's width runs beside the experts, counted as a shared expert (Arctic).
    zero_experts: key of the number of experts without parameters.
    """

    count: str = "num_experts"
    top_k: str = "num_experts_per_tok"
    width: str = "moe_intermediate_size"
    shared_count: str | None = None
    shared_width: str | None = None
    one_shared: bool = False
    sparse: Callable[[Config, int], bool] = every_layer
    dense_width: str | None = None
    bias: bool | str = False
    gated: bool = True
    routing_bias: bool | str = False
    shared_gate: bool = False
    beside_dense: str | None = None
    zero_experts: str | None = None
    norms: int = 1
    norm: str = "rms"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        shared = self.shared_count or self.shared_width
        return (self.count, self.top_k, self.width, *(key for key in (shared, self.beside_dense) if key))

    def __call__(self, config: Config, layer: int) -> FFN:
        hidden, streams = config.count("hidden_size"), config.count("hc_mult", 1, high=64)
        norms = self.norms - 1 + residual_norms(config) if self.norm == "rms" else 0
        mixing = two_way_hyper(config, hidden) or hyper(hidden, streams)
        extra = mixing + extra_of_norms(hidden, self.norms, self.norm)
        if not self.sparse(config, layer):
            width = config.count(self.dense_width or self.width, layer=layer)
            return FFN(hidden, width=width, gated=self.gated, norms=norms, extra_parameters=extra)
        experts = config.count(self.count, high=1 << 16, layer=layer)
        zero = config.count(self.zero_experts, 0, low=0, high=1 << 16) if self.zero_experts else 0
        latent = config.count("routed_expert_hidden_size", 0)
        return FFN(
            hidden,
            experts=experts,
            top_k=config.count(self.top_k, high=experts + zero, layer=layer),
            expert_width=config.count(self.width, layer=layer),
            shared_width=self._shared(config),
            zero_experts=zero,
            latent=latent,
            latent_normed=bool(latent) and config.flag("latent_moe_use_norm"),
            gated=self.gated,
            bias=said(config, self.bias),
            routing_bias=self._routing_bias(config),
            shared_gate=self.shared_gate,
            norms=norms,
            extra_parameters=extra,
        )

    def _shared(self, config: Config) -> int:
        if self.beside_dense:
            return config.count(self.beside_dense)
        several = (
            1 if self.one_shared else config.count(self.shared_count, 0, low=0, high=1024) if self.shared_count else 1
        )
        if self.shared_width and (self.shared_count is None or config.told(self.shared_width)):
            return several * config.count(self.shared_width, 0, low=0)
        return several * config.count(self.width) if self.one_shared or self.shared_count else 0

    def _routing_bias(self, config: Config) -> bool:
        if self.routing_bias == "noaux_tc":
            return config.text("topk_method") == "noaux_tc"
        return said(config, self.routing_bias)


@dataclass(frozen=True)
class DenseBesideExperts:
    """Gemma-4: with ``enable_moe_block`` the dense FFN runs beside the experts, where a shared expert would be.

    Norms of width hidden: two around a dense FFN; five and the router's scale with experts, whose outputs are scaled.
    With ``use_double_wide_mlp`` layers that read an earlier cache are twice as wide.
    """

    needs: tuple[str, ...] = ("intermediate_size",)

    def __call__(self, config: Config, layer: int) -> FFN:
        hidden, width = config.count("hidden_size"), config.count("intermediate_size", layer=layer)
        if config.flag("use_double_wide_mlp") and shares_cache(config, layer):
            width *= 2
        if not config.flag("enable_moe_block"):
            return FFN(hidden, width=width, norms=2)
        experts = config.count("num_experts", high=1 << 16)
        return FFN(
            hidden,
            experts=experts,
            top_k=config.count("top_k_experts", high=experts),
            expert_width=config.count("moe_intermediate_size"),
            shared_width=width,
            routing_bias=True,
            norms=6,
        )
