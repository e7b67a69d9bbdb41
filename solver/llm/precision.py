"""In which number format each part of an LLM is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from solver.errors import BadInput, UnknownName
from solver.llm.dtypes import BF16, Dtype, dtype, kv_dtype

LINEAR_PARTS = ("attention", "attention_output", "dense", "shared", "experts", "mtp")
"""Parts that one dtype name given for "the weights" applies to; embedding and head stay in bf16."""

Weights = str | Dtype | Mapping[str, str | Dtype]


@dataclass(frozen=True)
class Precision:
    """Number format of each part. Router, norms, biases and small gates are bf16 in every checkpoint.

    A part that a checkpoint keeps in several formats has the one that most of its parameters have, with the mean size of
    an element: kernels follow the former, bytes the latter.

    Attributes
    ----------
    attention: input projections of attention (queries, keys, values, MLA's down- and up-projections).
    attention_output: output projection; kept apart because NVFP4 checkpoints of MLA networks quantise only it.
    dense: FFN of dense layers.
    shared: shared experts.
    experts: routed experts.
    mtp: linear layers of the multi-token-prediction layers.
    head: output projection to the vocabulary.
    embedding: input embedding.
    kv_cache: keys and values.
    """

    attention: Dtype = BF16
    attention_output: Dtype = BF16
    dense: Dtype = BF16
    shared: Dtype = BF16
    experts: Dtype = BF16
    mtp: Dtype = BF16
    head: Dtype = BF16
    embedding: Dtype = BF16
    kv_cache: Dtype = BF16

    def with_weights(self, weights: Weights) -> Precision:
        """Return this precision with other weight formats.

        Parameters
        ----------
        weights: ``"checkpoint"`` (no change), one format for all linear parts, or formats by part; ``attention`` alone
            sets ``attention_output`` too.

        >>> print(Precision().with_weights({"experts": "nvfp4"}).experts)
        nvfp4
        """
        if isinstance(weights, str) and weights.lower() == "checkpoint":
            return self
        if not isinstance(weights, Mapping):
            return replace(self, **dict.fromkeys(LINEAR_PARTS, dtype(weights)))
        parts = (*LINEAR_PARTS, "head", "embedding")
        for part in weights:
            if part not in parts:
                raise UnknownName("part of an LLM", str(part)[:40], parts)
        chosen = {part: dtype(name) for part, name in weights.items()}
        if "attention" in chosen:
            chosen.setdefault("attention_output", chosen["attention"])
        return replace(self, **chosen)

    def with_kv_cache(self, kv_cache: str | Dtype) -> Precision:
        """Return this precision with another KV-cache format; ``"auto"`` keeps the checkpoint's."""
        if isinstance(kv_cache, str) and kv_cache.lower() == "auto":
            return self
        return replace(self, kv_cache=kv_dtype(kv_cache))

    def names(self) -> dict[str, str]:
        """Return the format's name by part, as people write it."""
        return {field.name: getattr(self, field.name).name for field in fields(self)}

    def spelled(self) -> dict[str, str]:
        """Return the format by part with the mean size of an element where it is mixed, as plans keep it."""
        return {field.name: getattr(self, field.name).spelled for field in fields(self)}

    @classmethod
    def from_names(cls, names: Mapping[str, str]) -> Precision:
        """Read what :meth:`names` or :meth:`spelled` wrote; parts that are absent are bf16."""
        if not isinstance(names, Mapping):
            raise BadInput("a precision is a mapping from part to dtype name")
        weights = {part: name for part, name in names.items() if part != "kv_cache"}
        return cls().with_weights(weights).with_kv_cache(names.get("kv_cache", "auto"))
