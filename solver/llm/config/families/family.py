"""What a family of architectures is: the rules that read it and the facts that its files leave unsaid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from solver.llm.attention import Attention
from solver.llm.config.modules import MLP, Rooms
from solver.llm.config.reader import Config
from solver.llm.ffn import FFN


class AttentionRule(Protocol):
    """Reads the attention of one layer."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""

    def __call__(self, config: Config, layer: int) -> Attention:
        """Return the attention of this layer (from 0)."""


class FFNRule(Protocol):
    """Reads the feed-forward network of one layer."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""

    def __call__(self, config: Config, layer: int) -> FFN:
        """Return the feed-forward network of this layer (from 0)."""


@dataclass(frozen=True)
class Family:
    """How one family of architectures is read.

    Attributes
    ----------
    attention, ffn: rules for a layer.
    names: other names of it, in ``model_type`` or (without its ending) in ``architectures``: wrappers and relatives that
        differ in nothing that counts here.
    tied: whether an absent ``tie_word_embeddings`` means tied.
    mtp: key of the number of multi-token-prediction layers; None where the checkpoints carry none.
    kv_cache: KV-cache format that engines use unless told otherwise.
    rooms: modules that hold a layer's matrices, for the patterns of quantisation files.
    positions: rows of a learned position embedding: 0 for none, else what is added to the longest context, plus 1.
    defaults: what the published implementation takes where the file says nothing, beyond
        :data:`solver.llm.config.defaults.CLASS_DEFAULTS`.
    prepare: puts a file of this family into the form that the rules read.
    tables: parameters of tables beside the word embedding.
    """

    attention: AttentionRule
    ffn: FFNRule
    names: tuple[str, ...] = ()
    tied: bool = False
    mtp: str | None = None
    kv_cache: str = "bf16"
    rooms: Rooms = MLP
    positions: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Config], Config] | None = None
    tables: Callable[[Config], int] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling, in the order of reading."""
        general = ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")
        return (*general, *self.attention.needs, *self.ffn.needs)


NEXTN = "num_nextn_predict_layers"
BIASED = "attention_bias"


def flattened(*sections: str) -> Callable[[Config], Config]:
    """Return what lifts the values of nested sections to the level above (DBRX, MPT)."""

    def prepare(config: Config) -> Config:
        lifted: dict[str, Any] = {}
        for name in sections:
            section = config.section(name)
            lifted |= {k: v for k, v in section.values.items() if k != "model_type"} if section else {}
        return config.view({k: v for k, v in lifted.items() if k not in config.values})

    return prepare
