"""From a parsed ``config.json`` to an LLM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solver.errors import UnknownArchitecture, nearest
from solver.llm.config import files
from solver.llm.config.families import FAMILIES, Family
from solver.llm.config.quantization import precision
from solver.llm.config.reader import MAX_CONTEXT, MAX_LAYERS, Config
from solver.llm.dtypes import kv_dtype
from solver.llm.network import LLM, Layer

NULLABLE = {"q_lora_rank"}
"""Keys for which null means something of its own, so that null is not the same as absent."""


def from_path(path: Path) -> LLM:
    """Read ``config.json`` (or the folder that holds it) and the quantisation file beside it."""
    config_path, quantization_path = files.find(path)
    config = Config(files.parse(config_path), files.label(config_path))
    quantization = None
    if quantization_path.exists():
        quantization = Config(files.parse(quantization_path), files.label(quantization_path))
    name = files.short_name(config_path)
    return build(config, quantization, name=name, source=str(path))


def from_mapping(values: Mapping[str, Any]) -> LLM:
    """Read a config that is parsed already."""
    config = Config(values, "config", from_file=False)
    name = config.text("model_type", "llm")[:60]
    return build(config, None, name=name, source="config given as a mapping")


def build(outer: Config, quantization: Config | None, *, name: str, source: str) -> LLM:
    """Put an LLM together.

    Parameters
    ----------
    outer: the config; what stands under ``text_config`` counts, where there is one.
    quantization: content of ``hf_quant_config.json``; where None, ``quantization_config`` at either level counts.
    name: short name of the LLM.
    source: what to tell people about where it comes from.
    """
    config = outer.section("text_config") or outer
    family = _family(config, outer)
    layers = _layers(config, family)
    quantization = quantization or config.section("quantization_config") or outer.section("quantization_config")
    return LLM(
        name=name,
        title=name,
        hidden=config.count("hidden_size"),
        vocab=config.count("vocab_size"),
        layers=layers,
        tied_embeddings=config.flag("tie_word_embeddings", outer.flag("tie_word_embeddings", family.tied)),
        mtp_layers=config.count(family.mtp, 0, low=0, high=64) if family.mtp else 0,
        max_context=config.count("max_position_embeddings", high=MAX_CONTEXT),
        precision=precision(
            quantization,
            layers,
            expert_dtype=config.text("expert_dtype"),
            kv_cache=kv_dtype(family.kv_cache),
            linear_room=family.linear_room,
        ),
        source=source,
    )


def _family(config: Config, outer: Config) -> Family:
    kind = config.text("model_type") or outer.text("model_type")
    if not kind:
        raise UnknownArchitecture(
            f"{outer.where}: {config.path}model_type is missing, so the architecture is not known"
        )
    if kind not in FAMILIES:
        known = ", ".join(nearest(kind[:60], FAMILIES))
        raise UnknownArchitecture(
            f"{outer.where}: {config.path}model_type {kind[:60]!r} is not a known architecture; nearest known: {known}"
        )
    family = FAMILIES[kind]
    missing = [key for key in family.needs if not config.has(key) and not (key in NULLABLE and key in config.values)]
    if missing:
        raise config.missing(*missing)
    return family


def _layers(config: Config, family: Family) -> tuple[Layer, ...]:
    """Read every layer; like ones are the same object."""
    kinds: dict[Layer, Layer] = {}
    layers = []
    for index in range(config.count("num_hidden_layers", high=MAX_LAYERS)):
        layer = Layer(family.attention(config, index), family.ffn(config, index))
        layers.append(kinds.setdefault(layer, layer))
    return tuple(layers)
