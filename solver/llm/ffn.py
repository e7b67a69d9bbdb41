"""The feed-forward network of one layer: dense, or routed experts with or without shared ones."""

from __future__ import annotations

from dataclasses import dataclass

from solver.errors import BadInput
from solver.llm.dtypes import BF16
from solver.llm.precision import Precision


@dataclass(frozen=True)
class FFN:
    """Feed-forward network of ONE layer.

    >>> FFN(4096, width=14336).dense_parameters
    176160768
    >>> FFN(7168, experts=256, top_k=8, expert_width=2048, shared_width=2048).expert_parameters
    44040192

    Attributes
    ----------
    hidden: width of the residual stream.
    width: inner width of a dense FFN; 0 for a mixture of experts.
    experts: routed experts; 0 for a dense FFN.
    top_k: routed experts that one token selects.
    zero_experts: experts without parameters that the router may select too and that give the token back or nothing
        (LongCat): selecting one costs neither bytes nor FLOP nor a dispatch.
    expert_width: inner width of one routed expert.
    shared_width: inner width of all shared experts together (Gemma-4: of the dense FFN that runs beside the experts).
    latent: width that tokens are projected to before the experts and back from after them (Kimi-K3, Nemotron-3 Super);
        0 = hidden.
    latent_normed: what comes out of the latent space passes a norm (Kimi-K3).
    gated: three matrices (gate, up, down) instead of two.
    bias: the linear layers have biases.
    routing_bias: one bias per expert in the router.
    shared_gate: a scalar gate on the shared experts (Qwen).
    norms: norms of width hidden that belong to this FFN.
    extra_parameters: other small replicated parameters (hyper-connections, biases of norms).
    absent: the layer is attention alone (Nemotron-H).
    """

    hidden: int
    width: int = 0
    experts: int = 0
    top_k: int = 0
    expert_width: int = 0
    shared_width: int = 0
    zero_experts: int = 0
    latent: int = 0
    latent_normed: bool = False
    gated: bool = True
    bias: bool = False
    routing_bias: bool = False
    shared_gate: bool = False
    norms: int = 1
    extra_parameters: int = 0
    absent: bool = False

    def __post_init__(self) -> None:
        if bool(self.width) + bool(self.experts) + self.absent != 1:
            raise BadInput("an FFN has either a width (dense) or experts, or is absent")
        if self.experts and not 1 <= self.top_k <= self.experts + self.zero_experts:
            raise BadInput(f"a token cannot visit {self.top_k} of {self.experts} experts")

    @property
    def kind(self) -> str:
        """``moe``, ``dense`` or ``none``."""
        return "none" if self.absent else "moe" if self.experts else "dense"

    @property
    def visited(self) -> float:
        """Routed experts with parameters that a token visits on average: all of top_k without zero experts.

        >>> FFN(6144, experts=512, top_k=12, expert_width=2048, zero_experts=256).visited
        8.0
        """
        return self.top_k * self.experts / (self.experts + self.zero_experts) if self.experts else 0.0

    @property
    def matrices(self) -> int:
        """Matrices of one FFN: 3 if gated, else 2."""
        return 3 if self.gated else 2

    @property
    def expert_hidden(self) -> int:
        """Width of what an expert takes and gives: what dispatch and combine send per token and expert."""
        return self.latent or self.hidden

    @property
    def dense_parameters(self) -> int:
        """Parameters of the dense FFN; tensor parallelism divides them."""
        return self._block(self.hidden, self.width)

    @property
    def shared_parameters(self) -> int:
        """Parameters of the shared experts; tensor parallelism divides them, expert parallelism does not."""
        return self._block(self.hidden, self.shared_width)

    @property
    def expert_parameters(self) -> int:
        """Parameters of ONE routed expert."""
        return self._block(self.expert_hidden, self.expert_width)

    @property
    def router_parameters(self) -> int:
        """Parameters of the router, its bias and the gate of the shared experts; whole on every rank."""
        if not self.experts:
            return 0
        gates = (self.experts + self.zero_experts if self.routing_bias else 0) + (
            self.hidden if self.shared_gate else 0
        )
        choices = self.experts + self.zero_experts
        return self.hidden * choices + gates

    @property
    def latent_parameters(self) -> int:
        """Parameters of the projections into and out of the latent space and of its norm; whole on every rank."""
        return 2 * self.hidden * self.latent + self.latent * self.latent_normed

    @property
    def replicated_parameters(self) -> int:
        """Parameters that are whole on every rank, in bf16: router, latent projections, norms."""
        return self.router_parameters + self.latent_parameters + self.norms * self.hidden + self.extra_parameters

    @property
    def parameters(self) -> int:
        """All parameters, every expert counted."""
        routed = self.experts * self.expert_parameters
        return self.dense_parameters + self.shared_parameters + routed + self.replicated_parameters

    @property
    def active_parameters(self) -> int:
        """Parameters that one token meets on average: the routed experts that it visits."""
        routed = round(self.visited * self.expert_parameters)
        return self.dense_parameters + self.shared_parameters + routed + self.replicated_parameters

    def dense_bytes(self, precision: Precision) -> float:
        """Weights of the dense FFN [bytes]."""
        return self.dense_parameters * precision.dense.bytes_per_element

    def shared_bytes(self, precision: Precision) -> float:
        """Weights of the shared experts [bytes]."""
        return self.shared_parameters * precision.shared.bytes_per_element

    def expert_bytes(self, precision: Precision) -> float:
        """Weights of ONE routed expert, its biases in bf16 [bytes]."""
        biases = self._biases(self.expert_hidden, self.expert_width)
        linear = self.expert_parameters - biases
        return linear * precision.experts.bytes_per_element + biases * BF16.bytes_per_element

    @property
    def replicated_bytes(self) -> float:
        """Weights that are whole on every rank [bytes]."""
        return self.replicated_parameters * BF16.bytes_per_element

    def _block(self, outer: int, inner: int) -> int:
        return self.matrices * outer * inner + self._biases(outer, inner) if inner else 0

    def _biases(self, outer: int, inner: int) -> int:
        return (self.matrices - 1) * inner + outer if self.bias and inner else 0
