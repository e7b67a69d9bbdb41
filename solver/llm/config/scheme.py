"""What a checkpoint keeps in which format: a default for linear modules, and the modules that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solver.llm.config.modules import Patterns, Rooms
from solver.llm.dtypes import BF16, Dtype, blended
from solver.llm.network import Layer

HEADS = ("lm_head", "head", "output", "embed_out", "output_layer")
EMBEDDINGS = ("embed_tokens", "embed", "embeddings", "wte", "word_embeddings", "embed_in", "tok_embeddings")
MAX_PROBED = 128
"""Layers whose modules are looked up; of more layers, evenly spaced ones."""


@dataclass(frozen=True)
class Scheme:
    """Formats by module.

    Attributes
    ----------
    default: format of linear modules that no exception means.
    exceptions: modules and their format; the first that means a module counts.
    head, embedding: formats of the output head and of the word embedding where no exception names them.
    mtp: format of the multi-token-prediction modules, where it is not that of modules of their names.
    """

    default: Dtype = BF16
    exceptions: Sequence[tuple[Patterns, Dtype]] = ()
    head: Dtype = BF16
    embedding: Dtype = BF16
    mtp: Dtype | None = None

    def over(self, other: Scheme) -> Scheme:
        """Return the scheme whose exceptions these are, over another one's."""
        return replace(other, exceptions=(*self.exceptions, *other.exceptions))

    def of(self, names: Sequence[str], default: Dtype | None = None) -> Dtype:
        """Return the format of the matrix that is called by one of these names; ``default`` if no exception means it."""
        for patterns, format_ in self.exceptions:
            if any(patterns.means(name) for name in names):
                return format_
        return self.default if default is None else default

    def by_part(self, layers: Sequence[Layer], rooms: Rooms) -> dict[str, Dtype]:
        """Return the format of each part, at the mean size where its matrices differ."""
        tally = _Tally()
        step = 1 + len(layers) // MAX_PROBED
        for index in range(0, len(layers), step):
            self._layer(tally, rooms, layers[index], f"layers.{index}")
        formats = {part: blended(sizes) for part, sizes in tally.sizes.items()}
        for part in ("attention", "attention_output", "dense", "shared", "experts"):
            formats.setdefault(part, self.default)
        formats["mtp"] = self.mtp or self._of_mtp(layers, rooms)
        formats["head"] = self.of(HEADS, self.head)
        formats["embedding"] = self.of(EMBEDDINGS, self.embedding)
        return formats

    def _layer(self, tally: _Tally, rooms: Rooms, layer: Layer, prefix: str) -> None:
        attention, ffn = layer.attention, layer.ffn
        held = rooms.linear if attention.kind == "linear" else rooms.attention
        for name, size in attention.projections:
            tally.add("attention", self.of(rooms.names(held, name, prefix)), size)
        if attention.output_parameters:
            tally.add("attention_output", self.of(rooms.names(held, "o", prefix)), attention.output_parameters)
        matrices = ("gate", "up", "down") if ffn.gated else ("up", "down")
        for matrix in matrices:
            if ffn.dense_parameters:
                tally.add("dense", self.of(rooms.names(rooms.dense, matrix, prefix)), ffn.dense_parameters)
            if ffn.shared_parameters:
                tally.add("shared", self.of(rooms.names(rooms.shared, matrix, prefix)), ffn.shared_parameters)
            for expert in sorted({0, ffn.experts // 2, ffn.experts - 1} if ffn.experts else ()):
                names = rooms.names(rooms.experts, matrix, prefix, expert)
                tally.add("experts", self.of(names), ffn.experts * ffn.expert_parameters)

    def _of_mtp(self, layers: Sequence[Layer], rooms: Rooms) -> Dtype:
        """Return the format of the MTP modules' FFN, which stand after the last layer or under ``mtp``."""
        held = rooms.experts if any(layer.ffn.experts for layer in layers) else rooms.dense
        places = (f"layers.{len(layers)}", "mtp.layers.0", "mtp.0", "mtp")
        return self.of([name for place in places for name in rooms.names(held, "down", place)])


@dataclass
class _Tally:
    """Parameters of each part by format."""

    sizes: dict[str, dict[Dtype, float]] = field(default_factory=dict)

    def add(self, part: str, format_: Dtype, size: float) -> None:
        """Count a matrix."""
        of_part = self.sizes.setdefault(part, {})
        of_part[format_] = of_part.get(format_, 0) + size
