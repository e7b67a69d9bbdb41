"""How a family spells its feed-forward networks in ``config.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from solver.llm.attention_shapes import hyper
from solver.llm.config.attention_rules import residual_norms, said
from solver.llm.config.reader import MAX_LAYERS, Config
from solver.llm.ffn import FFN


def every_layer(config: Config, layer: int) -> bool:
    """All layers have experts."""
    return True


def after_first_dense(config: Config, layer: int) -> bool:
    """The first ``first_k_dense_replace`` layers are dense, then every ``moe_layer_freq``-th has experts.

    A list in ``moe_layer_freq`` says 0 or 1 per layer.
    """
    if isinstance(config.values.get("moe_layer_freq"), list):
        return bool(config.integers("moe_layer_freq", config.count("num_hidden_layers"), high=1)[layer])
    first = config.count("first_k_dense_replace", low=0)
    return layer >= first and layer % config.count("moe_layer_freq", 1) == 0


def every_sparse_step(config: Config, layer: int) -> bool:
    """Every ``decoder_sparse_step``-th layer has experts, unless ``mlp_only_layers`` lists it (Qwen)."""
    return (layer + 1) % config.count("decoder_sparse_step", 1) == 0 and layer not in config.integers("mlp_only_layers")


def interleaved(config: Config, layer: int) -> bool:
    """``moe_layers`` lists the layers with experts, else every ``interleave_moe_layer_step``-th (Llama-4)."""
    if config.has("moe_layers"):
        return layer in config.integers("moe_layers", high=MAX_LAYERS)
    return (layer + 1) % config.count("interleave_moe_layer_step") == 0


@dataclass(frozen=True)
class Dense:
    """Every layer has the same dense FFN."""

    width: str = "intermediate_size"
    bias: bool | str = False
    gated: bool = True
    norms: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return (self.width,)

    def __call__(self, config: Config, layer: int) -> FFN:
        return FFN(
            config.count("hidden_size"),
            width=config.count(self.width),
            bias=said(config, self.bias),
            gated=self.gated,
            norms=self.norms,
        )


@dataclass(frozen=True)
class Experts:
    """Routed experts, in all layers or some; the keys' names differ by family.

    Attributes
    ----------
    count, top_k, width: keys of the number of routed experts, of those a token visits, and of one expert's inner width.
    shared_count: key of the number of shared experts, each as wide as a routed one (absent = none).
    shared_width: key of the inner width of the shared expert (absent = none).
    one_shared: there is always one shared expert, as wide as a routed one (Llama-4).
    sparse: which layers have experts.
    dense_width: key of the inner width of the other layers' FFN; None where there are none.
    routing_bias: True, False, or the value of ``topk_method`` or the key that means a bias per expert.
    """

    count: str = "num_experts"
    top_k: str = "num_experts_per_tok"
    width: str = "moe_intermediate_size"
    shared_count: str | None = None
    shared_width: str | None = None
    one_shared: bool = False
    sparse: Callable[[Config, int], bool] = every_layer
    dense_width: str | None = None
    bias: bool = False
    routing_bias: bool | str = False
    shared_gate: bool = False
    norms: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        shared = [key for key in (self.shared_count, self.shared_width) if key]
        return (self.count, self.top_k, self.width, *shared)

    def __call__(self, config: Config, layer: int) -> FFN:
        hidden, streams = config.count("hidden_size"), config.count("hc_mult", 1, high=64)
        norms = self.norms - 1 + residual_norms(config)
        if not self.sparse(config, layer):
            width = config.count(self.dense_width or self.width)
            return FFN(hidden, width=width, norms=norms, extra_parameters=hyper(hidden, streams))
        experts = config.count(self.count, high=1 << 16)
        return FFN(
            hidden,
            experts=experts,
            top_k=config.count(self.top_k, high=experts),
            expert_width=config.count(self.width),
            shared_width=self._shared(config),
            latent=config.count("routed_expert_hidden_size", 0),
            bias=self.bias,
            routing_bias=self._routing_bias(config),
            shared_gate=self.shared_gate,
            norms=norms,
            extra_parameters=hyper(hidden, streams),
        )

    def _shared(self, config: Config) -> int:
        if self.shared_width:
            return config.count(self.shared_width, 0, low=0)
        shared = (
            1 if self.one_shared else config.count(self.shared_count, 0, low=0, high=1024) if self.shared_count else 0
        )
        return shared * config.count(self.width)

    def _routing_bias(self, config: Config) -> bool:
        if self.routing_bias == "noaux_tc":
            return config.text("topk_method") == "noaux_tc"
        return said(config, self.routing_bias)


@dataclass(frozen=True)
class DenseBesideExperts:
    """Gemma-4: with ``enable_moe_block`` the dense FFN runs beside the experts, where a shared expert would be.

    Norms of width hidden: two around a dense FFN; five and the router's scale with experts, whose outputs are scaled.
    """

    needs: tuple[str, ...] = ("intermediate_size",)

    def __call__(self, config: Config, layer: int) -> FFN:
        hidden, width = config.count("hidden_size"), config.count("intermediate_size")
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
