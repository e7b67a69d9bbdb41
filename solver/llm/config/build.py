"""From a parsed ``config.json`` to an LLM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solver.llm.config import files
from solver.llm.config.defaults import class_defaults
from solver.llm.config.families import FAMILIES, Family
from solver.llm.config.language import encoders_left_out, language_part, read_family
from solver.llm.config.quantization import precision
from solver.llm.config.reader import MAX_CONTEXT, MAX_LAYERS, Config, show
from solver.llm.dtypes import kv_dtype
from solver.llm.network import LLM, Layer

NULLABLE = {"q_lora_rank", "n_shared_experts", "num_shared_experts", "shared_expert_intermediate_size"}
"""Keys for which null means something of its own (no compression, no shared expert), so that it is not absence."""


def from_path(path: Path, family: str | None = None) -> LLM:
    """Read ``config.json`` (or the folder that holds it) and the quantisation file beside it."""
    config_path, beside = files.find(path)
    config = Config(files.parse(config_path), files.label(config_path))
    quantization = next((Config(files.parse(file), files.label(file)) for file in beside if file.exists()), None)
    name = files.short_name(config_path)
    return build(config, quantization, name=name, source=str(path), family=family)


def from_mapping(values: Mapping[str, Any], family: str | None = None) -> LLM:
    """Read a config that is parsed already."""
    config = Config(values, "config", from_file=False)
    name = config.text("model_type", "llm")[:60]
    return build(config, None, name=name, source="config given as a mapping", family=family)


def build(outer: Config, quantization: Config | None, *, name: str, source: str, family: str | None = None) -> LLM:
    """Put an LLM together.

    Parameters
    ----------
    outer: the config; its language part counts.
    quantization: content of the quantisation file beside it, if there is one.
    name: short name of the LLM.
    source: what to tell people about where it comes from.
    family: family to try on the user's own responsibility; None = the one that the file names.
    """
    part = language_part(outer)
    which, notes = read_family(outer, part, family)
    rules = FAMILIES[which]
    config = part.view({}, {**class_defaults(which, nested=part is not outer), **rules.defaults})
    if rules.prepare:
        config = rules.prepare(config)
    _complete(config, rules)
    layers = _layers(config, rules)
    hidden, context = config.count("hidden_size"), config.count("max_position_embeddings", high=MAX_CONTEXT)
    tables = (context + rules.positions - 1) * hidden if rules.positions else 0
    tying = outer if outer.told("tie_word_embeddings") and not part.told("tie_word_embeddings") else config
    tied = tying.flag("tie_word_embeddings", rules.tied)
    formats = precision(
        _quantizations(outer, part, quantization),
        layers,
        expert_dtype=config.text("expert_dtype"),
        kv_cache=kv_dtype(rules.kv_cache),
        rooms=rules.rooms,
    )
    return LLM(
        name=name,
        title=name,
        hidden=hidden,
        vocab=config.count("vocab_size"),
        layers=layers,
        tied_embeddings=tied,
        table_parameters=tables + (rules.tables(config) if rules.tables else 0),
        mtp_layers=config.count(rules.mtp, 0, low=0, high=64) if rules.mtp else 0,
        max_context=context,
        precision=formats,
        source=source,
        notes=(*notes, *encoders_left_out(outer, part), *_assumed(config)),
    )


def _complete(config: Config, family: Family) -> None:
    missing = [
        key
        for key in family.needs
        if not config.has(key) and not (key in NULLABLE and (key in config.values or key in config.defaults))
    ]
    if missing:
        raise config.missing(*missing)


def _quantizations(outer: Config, part: Config, beside: Config | None) -> list[Config]:
    """Return the quantisation configs in the order in which engines look for them."""
    keys = ("quantization_config", "compression_config", "quantization")
    sections = [config.section(key) for config in (outer, part) for key in keys]
    inside = next((section for section in sections if section is not None), None)
    return [source for source in (inside, beside) if source is not None]


def _layers(config: Config, family: Family) -> tuple[Layer, ...]:
    """Read every layer; like ones are the same object."""
    kinds: dict[Layer, Layer] = {}
    layers = []
    for index in range(config.count("num_hidden_layers", high=MAX_LAYERS)):
        view = config.at_layer(index)
        layer = Layer(family.attention(view, index), family.ffn(view, index))
        layers.append(kinds.setdefault(layer, layer))
    return tuple(layers)


def _assumed(config: Config) -> Sequence[str]:
    """Return a note for what the published implementation filled in."""
    if not config.assumed:
        return ()
    taken = ", ".join(f"{key} {show(value)}" for key, value in sorted(config.assumed.items()))
    return (f"not in the file, so as the published implementation has them: {taken}",)
