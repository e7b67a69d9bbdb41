"""The language part of a config: where it stands, what family it is of, what is left out beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solver.errors import UnknownArchitecture, nearest
from solver.llm.config.families import FAMILIES, family_of
from solver.llm.config.reader import MAX_LAYERS, Config, printable

PARTS = (
    *("text_config", "llm_config", "language_config", "thinker_config", "language_model_config", "language_model"),
    *("lm_config", "text_model_config", "llm", "decoder_config", "model_config"),
)
"""Keys under which publishers nest the language part, in the order in which they are looked for."""
ENCODERS = (
    *(
        "vision_config",
        "vision",
        "visual",
        "vit_config",
        "vision_tower_config",
        "vision_encoder",
        "vision_model_config",
    ),
    *("audio_config", "audio_encoder_config", "speech_config", "encoder_config", "sam_config", "img_processor"),
    *("talker_config", "code2wav_config", "token2wav_config", "multimodal"),
)
"""Keys of what turns pictures and sounds into tokens, or tokens into sounds."""
NATIVE = {
    "dim": "hidden_size",
    "hidden_dim": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "max_seq_len": "max_position_embeddings",
}
"""Mistral's own ``params.json`` in Hugging Face's words."""


def language_part(outer: Config) -> Config:
    """Return the language part: the config itself where it has layers, else what is nested under a known key.

    Thinkers of omni networks nest twice. A key that is not known counts where exactly one object under it has layers,
    a hidden size and a vocabulary.
    """
    if "dim" in outer.values and "n_heads" in outer.values:
        return _native(outer)
    parts = [part for key in PARTS if (part := _under(outer, key)) is not None and part.values]
    whole = [part for part in parts if part.told("num_hidden_layers")]
    if whole:
        return whole[0]
    if outer.told("num_hidden_layers") and outer.told("hidden_size"):
        return outer
    if parts:
        return language_part(parts[0])
    found = [nested for key, nested in _nested(outer) if key not in ENCODERS and _has_layers(nested)]
    return found[0] if len(found) == 1 else outer


def _under(outer: Config, key: str) -> Config | None:
    """Return the object under a key; what is no object counts under ``text_config`` only, where it is wrong."""
    return outer.section(key) if key == PARTS[0] or isinstance(outer.values.get(key), Mapping) else None


def _nested(outer: Config) -> Iterator[tuple[str, Config]]:
    for key, value in list(outer.values.items())[:MAX_LAYERS]:
        if isinstance(value, Mapping) and value:
            nested = outer.section(key)
            if nested is not None:
                yield key, nested


def _has_layers(config: Config) -> bool:
    return config.told("num_hidden_layers") and config.told("hidden_size") and config.told("vocab_size")


def _native(outer: Config) -> Config:
    renamed = {NATIVE.get(key, key): value for key, value in outer.values.items()}
    moe = renamed.pop("moe", None)
    if isinstance(moe, Mapping):
        renamed |= {
            "num_experts_per_tok": moe.get("num_experts_per_tok"),
            "num_experts": moe.get("num_experts"),
            "n_shared_experts": moe.get("num_shared_experts"),
            "moe_intermediate_size": moe.get("expert_hidden_dim") or renamed.get("intermediate_size"),
            "first_k_dense_replace": moe.get("first_k_dense_replace", 0),
            "moe_layer_freq": moe.get("route_every_n", 1),
        }
    if not renamed.get("model_type") or renamed.get("model_type") == "transformer":
        shared = isinstance(moe, Mapping) and moe.get("num_shared_experts")
        latent = "deepseek_v3" if shared or renamed.get("kv_lora_rank") else "mixtral"
        renamed["model_type"] = latent if moe else "mistral"
    return Config(renamed, outer.where, outer.path, outer.from_file)


def encoders_left_out(outer: Config, part: Config) -> tuple[str, ...]:
    """Return a note for what stands beside the language part, at any level above it."""
    present = list(dict.fromkeys(_beside(outer.values, part.values)))
    if not present:
        return ()
    return (f"{', '.join(present)} left out: only the language part is counted, not the weights and peaks of encoders",)


def _beside(values: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in ENCODERS if key in values)
    for key in PARTS:
        nested = values.get(key)
        if isinstance(nested, Mapping) and nested is not part:
            yield from _beside(nested, part)


def read_family(outer: Config, part: Config, forced: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the family, and notes where it is not what ``model_type`` says plainly.

    Parameters
    ----------
    forced: family that the user wants tried, whatever the file says.

    Raises
    ------
    UnknownArchitecture: nothing in the file names a known family; says what was found and what can be done.
    """
    named = list(_names(outer, part))
    _refuse_what_is_no_decoder(outer, part, named)
    if forced is not None:
        family = family_of(forced)
        if family is None:
            raise UnknownArchitecture(f"family {forced[:60]!r} is not known; nearest known: {_known(forced)}")
        return family, (f"read as {family} because it was asked for, on the asker's own responsibility",)
    for place, name in named:
        family = family_of(name)
        if family is None:
            continue
        if place == named[0][0] or not place.endswith("architectures"):
            return family, ()
        return family, (
            f"read as {family} by {place} {printable(name)!r}: {named[0][0]} says {printable(named[0][1])!r}",
        )
    if not named:
        raise UnknownArchitecture(
            f"{outer.where}: {part.path}model_type is missing and so is architectures, so the architecture is not known; "
            "add one of them, or name a family to try with --as"
        )
    place, name = named[0]
    also = "".join(f", {p} {printable(n, 40)!r}" for p, n in named[1:3] if n != name)
    raise UnknownArchitecture(
        f"{outer.where}: {place} {printable(name)!r}{also} is not a known architecture; nearest known: {_known(name)}; "
        "to try one of them on your own responsibility, name it with --as"
    )


DRAFTS = ("eagle", "dflash", "draft", "medusa", "speculator", "mtpmodel")
"""Words in the names of networks that only draft for another one."""


def _refuse_what_is_no_decoder(outer: Config, part: Config, named: list[tuple[str, str]]) -> None:
    for place, name in named:
        if any(word in name.lower() for word in DRAFTS):
            raise UnknownArchitecture(
                f"{outer.where}: {place} {printable(name)!r} drafts for another LLM and is none itself; "
                "give the config of the LLM that it drafts for"
            )
    if part.flag("is_encoder_decoder"):
        raise UnknownArchitecture(f"{outer.where}: {part.path}is_encoder_decoder: only decoders are understood")


def _names(outer: Config, part: Config) -> Iterator[tuple[str, str]]:
    """Names of the architecture with where they stand, the most telling first."""
    for config in (part,) if outer is part else (part, outer):
        if config.text("model_type"):
            yield f"{config.path}model_type", config.text("model_type")
        for name in config.strings("architectures")[:4]:
            yield f"{config.path}architectures", name


def _known(name: str) -> str:
    return ", ".join(nearest(name[:60], FAMILIES))
