"""Which layers attend to a window only, and how wide it is, as families say it in ``config.json``."""

from __future__ import annotations

from collections.abc import Callable

from solver.llm.config.reader import MAX_CONTEXT, Config

Rule = Callable[[Config, int], int | None]


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


def by_pattern(config: Config, layer: int) -> int | None:
    """All but every ``sliding_window_pattern``-th layer have a window (Gemma-3), unless ``layer_types`` says else."""
    if config.has("layer_types"):
        return by_type(config, layer)
    return None if (layer + 1) % config.count("sliding_window_pattern") == 0 else width(config)


def by_type(config: Config, layer: int) -> int | None:
    """``layer_types`` names the layers that have a window (gpt-oss, Gemma-4)."""
    kind = layer_type(config, layer, ("full_attention", "sliding_attention"))
    return width(config) if kind == "sliding_attention" else None


def chunks(config: Config, layer: int) -> int | None:
    """Layers with rotary positions attend within chunks (Llama-4).

    All but every fourth have such positions, unless ``no_rope_layers`` lists 0 or 1 per layer (1 = rotary).
    """
    if not config.has("attention_chunk_size"):
        return None
    listed = config.integers("no_rope_layers", config.count("num_hidden_layers"), high=1)
    rotary = listed[layer] if listed else (layer + 1) % config.count("no_rope_layer_interval", 4) != 0
    return config.count("attention_chunk_size", high=MAX_CONTEXT) if rotary else None


def layer_type(config: Config, layer: int, known: tuple[str, ...]) -> str:
    """Return this layer's entry of ``layer_types``, which must be one of ``known``."""
    kinds = config.strings("layer_types", config.count("num_hidden_layers"))
    if not kinds:
        raise config.missing("layer_types")
    if kinds[layer] not in known:
        raise config.bad(f"layer_types[{layer}]", f"is {kinds[layer][:40]!r}; known: {', '.join(known)}")
    return kinds[layer]


def width(config: Config) -> int:
    """Return ``sliding_window`` [tokens]."""
    return config.count("sliding_window", high=MAX_CONTEXT)
