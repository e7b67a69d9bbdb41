"""An LLM as its trainer sees it: uniform layers with their matrices."""

from __future__ import annotations

from dataclasses import dataclass

from solver.llm import LLM


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of like layers.

    Attributes
    ----------
    width: h. heads: a. attended: width of all query heads. vocabulary: V.
    attention_parameters, dense_parameters: of one layer, met by every token.
    expert_parameters: of one routed expert of one layer. experts, top_k: how many there are, and a token meets; 0 = dense.
    linear: bytes that a layer keeps per element of the stream beyond norms and masks (see
    :class:`solver.training.activations.Layer`).
    inner: FFN activations of a token over the width, of all experts it meets.
    """

    name: str
    layers: int
    width: int
    heads: int
    attended: int
    vocabulary: int
    attention_parameters: float
    dense_parameters: float
    expert_parameters: float = 0.0
    experts: int = 0
    top_k: int = 0
    linear: float = 24.0
    inner: float = 4.0

    @property
    def layer_parameters(self) -> float:
        """Parameters of one layer."""
        return self.attention_parameters + self.dense_parameters + self.experts * self.expert_parameters

    @property
    def active_layer_parameters(self) -> float:
        """Parameters of one layer that a token meets."""
        return self.attention_parameters + self.dense_parameters + self.top_k * self.expert_parameters

    @property
    def embedding_parameters(self) -> float:
        """Parameters of the embedding; the head has as many, or is the same matrix."""
        return float(self.vocabulary * self.width)

    @property
    def parameters(self) -> float:
        """All parameters, the embedding once."""
        return self.layers * self.layer_parameters + self.embedding_parameters

    def flop_per_token(self, sequence: int) -> float:
        """FLOP of the network itself for one token, forward and backward; nothing recomputed.

        Korthikanti et al., arXiv:2205.05198, equation 7: ``72 L h^2 (1 + s/(6h) + V/(12 h L))`` for GPT.
        """
        layer = 6 * self.active_layer_parameters + 12 * sequence * self.attended
        return self.layers * layer + 6 * self.embedding_parameters


def gpt(name: str, layers: int, width: int, heads: int, vocabulary: int = 51200) -> Network:
    """A GPT with FFNs four times as wide as the stream, as Megatron trains it.

    >>> round(gpt("gpt-3", 96, 12288, 96).parameters / 1e9)
    175
    """
    return Network(
        name=name,
        layers=layers,
        width=width,
        heads=heads,
        attended=width,
        vocabulary=vocabulary,
        attention_parameters=4.0 * width**2,
        dense_parameters=8.0 * width**2,
    )


def from_llm(llm: LLM) -> Network:
    """The network of an LLM, its layers taken as alike: means over all of them.

    >>> round(from_llm(LLM.from_config("llama-3.1-8b")).parameters / 1e9, 1)
    7.5
    """
    count, width = len(llm.layers), llm.hidden
    attention = sum(layer.attention.parameters for layer in llm.layers) / count
    routed = [layer.ffn for layer in llm.layers if layer.ffn.experts]
    each = routed[-1].expert_parameters if routed else 0
    experts = llm.experts * len(routed) / count
    active = sum(layer.ffn.active_parameters for layer in llm.layers) / count
    met = llm.top_k * len(routed) / count
    total = sum(layer.ffn.parameters for layer in llm.layers) / count
    first = llm.layers[0].attention
    attended = first.prefill_flop_per_key / 4
    inner = active / (3 * width) / width
    return Network(
        name=llm.name,
        layers=count,
        width=width,
        heads=first.heads,
        attended=round(attended),
        vocabulary=llm.vocab,
        attention_parameters=attention,
        dense_parameters=active - met * each,
        expert_parameters=(total - active + met * each) / max(llm.experts, 1) if experts else 0.0,
        experts=llm.experts,
        top_k=llm.top_k,
        linear=2 * (attention / width**2) + 6 * inner,
        inner=inner,
    )


#: The four networks of Korthikanti et al., arXiv:2205.05198, Table 3.
MEGATRON = {
    network.name: network
    for network in (
        gpt("gpt-22b", 48, 6144, 64),
        gpt("gpt-175b", 96, 12288, 96),
        gpt("gpt-530b", 105, 20480, 128),
        gpt("gpt-1t", 128, 25600, 160),
    )
}
