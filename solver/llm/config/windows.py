"""Which layers attend to a window only, and how wide it is, as families say it in ``config.json``."""

from __future__ import annotations

from collections.abc import Callable

from solver.llm.config.reader import MAX_CONTEXT, Config

Rule = Callable[[Config, int], int | None]

FULL, SLIDING, CHUNKED, LINEAR, CONVOLUTION = "full", "sliding", "chunked", "linear", "convolution"
LAYER_TYPES = {
    **dict.fromkeys(("full_attention", "attention", "indexed_attention", "global_attention", "global", "hybrid"), FULL),
    **dict.fromkeys(("sliding_attention", "local_attention", "local", "hybrid_sliding"), SLIDING),
    "chunked_attention": CHUNKED,
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "recurrent"), LINEAR),
    **dict.fromkeys(("conv", "short_conv"), CONVOLUTION),
}
"""What the words of ``layer_types`` mean."""


def never(config: Config, layer: int) -> int | None:
    """No layer has a window."""
    return None


def always(config: Config, layer: int) -> int | None:
    """Every layer has the window that ``sliding_window`` gives, if it gives one (Mistral, Mixtral, Phi-3)."""
    return width(config) if config.has("sliding_window") else None


def upper_layers(config: Config, layer: int) -> int | None:
    """Layers from ``max_window_layers`` on have a window, if ``use_sliding_window`` (Qwen2, Qwen3)."""
    on = config.flag("use_sliding_window") and config.has("sliding_window")
    return width(config) if on and layer >= config.count("max_window_layers", low=0) else None


def even_layers(config: Config, layer: int) -> int | None:
    """Every other layer has a window, starting with the first (Gemma-2), unless ``layer_types`` says otherwise."""
    return by_type(config, layer) if config.has("layer_types") else width(config) if layer % 2 == 0 else None


def odd_layers(config: Config, layer: int) -> int | None:
    """Every other layer has a window, starting with the second (GPT-Neo)."""
    return width(config) if layer % 2 else None


def by_pattern(config: Config, layer: int) -> int | None:
    """All but every ``sliding_window_pattern``-th layer have a window, unless ``layer_types`` says otherwise.

    The pattern is a number (Gemma-3) or a run of L and G that repeats (EXAONE-4); without a window there is none.
    """
    if not config.has("sliding_window"):
        return None
    if config.has("layer_types"):
        return by_type(config, layer)
    pattern = config.raw("sliding_window_pattern")
    if isinstance(pattern, str):
        if not pattern or set(pattern) - {"L", "G"}:
            raise config.bad("sliding_window_pattern", f"must be a number or a run of L and G, not {pattern[:40]!r}")
        return width(config) if pattern[layer % len(pattern)] == "L" else None
    return None if (layer + 1) % config.count("sliding_window_pattern") == 0 else width(config)


def every_nth_global(key: str) -> Rule:
    """Return the rule by which all but every ``key``-th layer have a window, unless ``layer_types`` says otherwise."""

    def rule(config: Config, layer: int) -> int | None:
        if config.has("layer_types"):
            return by_type(config, layer)
        return None if (layer + 1) % config.count(key) == 0 else width(config)

    return rule


def by_type(config: Config, layer: int) -> int | None:
    """``layer_types`` names the layers that have a window (gpt-oss, Gemma-4)."""
    return width(config) if layer_type(config, layer, (FULL, SLIDING)) == SLIDING else None


def if_typed(config: Config, layer: int) -> int | None:
    """``layer_types`` names the layers that have a window; without it none has (OLMo-2 before OLMo-3)."""
    return by_type(config, layer) if config.has("layer_types") and config.has("sliding_window") else None


def by_hybrid_pattern(config: Config, layer: int) -> int | None:
    """``hybrid_layer_pattern`` has 1 for the layers with a window (MiMo-V2), unless ``layer_types`` names them."""
    if config.has("layer_types"):
        return by_type(config, layer)
    listed = config.integers("hybrid_layer_pattern", config.count("num_hidden_layers"), high=1)
    if not listed:
        raise config.missing("hybrid_layer_pattern")
    return width(config) if listed[layer] else None


def chunks(config: Config, layer: int) -> int | None:
    """Layers with rotary positions attend within chunks (Llama-4).

    All but every fourth have such positions, unless ``no_rope_layers`` lists 0 or 1 per layer (1 = rotary).
    """
    if not config.has("attention_chunk_size"):
        return None
    if config.has("layer_types"):
        rotary = layer_type(config, layer, (FULL, CHUNKED)) == CHUNKED
    else:
        listed = config.integers("no_rope_layers", config.count("num_hidden_layers"), high=1)
        rotary = listed[layer] == 1 if listed else (layer + 1) % config.count("no_rope_layer_interval", 4) != 0
    return config.count("attention_chunk_size", high=MAX_CONTEXT) if rotary else None


def layer_type(config: Config, layer: int, known: tuple[str, ...]) -> str:
    """Return what this layer's entry of ``layer_types`` means, which must be one of ``known``."""
    kinds = config.strings("layer_types", config.count("num_hidden_layers"))
    if not kinds:
        raise config.missing("layer_types")
    meant = LAYER_TYPES.get(kinds[layer], "")
    if meant not in known:
        words = [word for word, meaning in LAYER_TYPES.items() if meaning in known]
        raise config.bad(f"layer_types[{layer}]", f"is {kinds[layer][:40]!r}; known: {', '.join(words)}")
    return meant


def width(config: Config) -> int:
    """Return ``sliding_window`` [tokens]."""
    return config.count("sliding_window", high=MAX_CONTEXT)
