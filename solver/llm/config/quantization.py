"""Number formats of a checkpoint from its quantisation config.

============================  ===================================================================================
``quant_method``              rule
============================  ===================================================================================
fp8                           all linear modules but ``modules_to_not_convert``; per block if ``weight_block_size``
mxfp4                         routed experts only (gpt-oss)
modelopt                      ``quant_algo`` for all linear modules but ``exclude_modules``; MIXED_PRECISION by module
compressed-tensors            ``config_groups`` with targets, but ``ignore``
awq, gptq                     int4 in groups, all linear modules but ``modules_to_not_convert``
============================  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from solver.llm.config.modules import Patterns, names
from solver.llm.config.reader import Config
from solver.llm.dtypes import BF16, FP8, FP8_BLOCK, INT4_CHANNEL, INT8, MAX_GROUP, MXFP4, MXFP8, NVFP4, Dtype, int4
from solver.llm.network import Layer
from solver.llm.precision import Precision

FormatOf = Callable[[str], Dtype]
"""Format in which a module of this name is kept; bf16 if it is left alone."""

MODELOPT: dict[str, Dtype] = {
    "FP8": FP8,
    "FP8_PER_CHANNEL_PER_TOKEN": FP8,
    "FP8_PB_WO": FP8_BLOCK,
    "MXFP8": MXFP8,
    "NVFP4": NVFP4,
    "NVFP4_AWQ": NVFP4,
    "W4A8_NVFP4_FP8": NVFP4,
    "INT8_SQ": INT8,
}
BLOCKS: dict[tuple[int, ...], Dtype] = {(): FP8, (128, 128): FP8_BLOCK, (1, 32): MXFP8}
MAX_FORMATS = 32
"""Most groups of modules with a format of their own."""
MAX_PROBED = 128
"""Layers whose modules are looked up; of more layers, evenly spaced ones."""
KV_ALGORITHMS = {"FP8": FP8, "NVFP4": NVFP4, "INT8": INT8}


def precision(
    quantization: Config | None,
    layers: Sequence[Layer],
    *,
    expert_dtype: str = "",
    kv_cache: Dtype = BF16,
    linear_room: str = "self_attn",
) -> Precision:
    """Return the format of each part.

    Parameters
    ----------
    quantization: the ``quantization_config``, or the content of ``hf_quant_config.json``; None = bf16.
    layers: every layer; a part has the format that most of its matrices have.
    expert_dtype: ``fp4`` where DeepSeek-V4 keeps the routed experts in MXFP4 whatever the rest is in.
    kv_cache: format of the cache where the checkpoint declares none.
    linear_room: module that holds the linear attention of a layer.
    """
    found = Precision(kv_cache=kv_cache)
    if quantization is None:
        return found
    nested = quantization.section("quantization")
    rules = nested or quantization
    method = rules.text("quant_method", "modelopt" if nested or rules.has("quant_algo") else "")
    if method == "mxfp4":
        return replace(found, experts=MXFP4)
    if method not in METHODS:
        raise rules.bad("quant_method", f"is {method[:40]!r}; known: mxfp4, {', '.join(METHODS)}")
    formats = _by_part(METHODS[method](rules), layers, linear_room)
    if expert_dtype == "fp4":
        formats |= {"experts": MXFP4, "mtp": MXFP4}
    return replace(found, **formats, kv_cache=_kv_cache(rules, kv_cache))


def _fp8(rules: Config) -> FormatOf:
    block = tuple(rules.integers("weight_block_size"))
    if block not in BLOCKS:
        raise rules.bad(
            "weight_block_size", f"is {list(block)[:4]}; known: {', '.join(str(list(b)) for b in BLOCKS if b)}"
        )
    return _except(BLOCKS[block], rules, "modules_to_not_convert")


def _modelopt(rules: Config) -> FormatOf:
    algorithm = rules.text("quant_algo")
    if not algorithm:
        return lambda module: BF16
    if algorithm == "MIXED_PRECISION":
        return _mixed(rules)
    return _except(
        _modelopt_format(rules, algorithm), rules, "exclude_modules" if rules.has("exclude_modules") else "ignore"
    )


def _mixed(rules: Config) -> FormatOf:
    listed = rules.section("quantized_layers")
    by_format: dict[Dtype, list[str]] = {}
    for name in map(str, listed.values) if listed else ():
        entry = listed.section(name) if listed else None
        if entry is not None:
            by_format.setdefault(_modelopt_format(entry, entry.text("quant_algo")), []).append(name)
    patterns = [(Patterns(found, rules.where), format_) for format_, found in by_format.items()]
    return lambda module: next((format_ for meant, format_ in patterns if meant.means(module)), BF16)


def _modelopt_format(rules: Config, algorithm: str) -> Dtype:
    if algorithm in ("W4A16_AWQ", "INT4_AWQ"):
        return int4(rules.count("group_size", 128, high=MAX_GROUP))
    if algorithm not in MODELOPT:
        raise rules.bad(
            "quant_algo", f"is {algorithm[:40]!r}; known: {', '.join(MODELOPT)}, W4A16_AWQ, MIXED_PRECISION"
        )
    return MODELOPT[algorithm]


def _compressed_tensors(rules: Config) -> FormatOf:
    ignored = Patterns(rules.strings("ignore"), rules.where)
    groups = rules.section("config_groups")
    if groups and len(groups.values) > MAX_FORMATS:
        raise rules.bad("config_groups", f"must have at most {MAX_FORMATS} groups, not {len(groups.values)}")
    chosen: list[tuple[Patterns | None, Dtype]] = []
    for name in groups.values if groups else ():
        group = groups.section(name) if groups else None
        if group is None:
            continue
        targets = group.strings("targets")
        everywhere = not targets or "Linear" in targets
        chosen.append((None if everywhere else Patterns(targets, rules.where), _group_format(group)))

    def format_of(module: str) -> Dtype:
        if ignored.means(module):
            return BF16
        return next((format_ for meant, format_ in chosen if meant is None or meant.means(module)), BF16)

    return format_of


def _group_format(group: Config) -> Dtype:
    weights = group.section("weights")
    if weights is None:
        return BF16
    bits, kind, strategy = weights.count("num_bits", high=16), weights.text("type", "int"), weights.text("strategy")
    size = weights.count("group_size", 0, low=-1, high=MAX_GROUP)
    if (kind, bits) == ("float", 4):
        return NVFP4 if size == 16 else MXFP4
    if (kind, bits) == ("float", 8):
        return MXFP8 if size == 32 else FP8_BLOCK if strategy == "block" else FP8
    if (kind, bits) == ("int", 8):
        return INT8
    if (kind, bits) == ("int", 4):
        return int4(size) if size > 0 else INT4_CHANNEL
    raise weights.bad("num_bits", f"is {bits} with type {kind[:20]!r}; known: float 4 or 8, int 4 or 8")


def _grouped_integers(rules: Config) -> FormatOf:
    bits = rules.count("bits", high=8)
    if bits not in (4, 8):
        raise rules.bad("bits", f"is {bits}; known: 4, 8")
    size = rules.count("group_size", 128, low=-1, high=MAX_GROUP)
    format_ = INT8 if bits == 8 else int4(size) if size > 0 else INT4_CHANNEL
    return _except(format_, rules, "modules_to_not_convert")


def _except(format_: Dtype, rules: Config, key: str) -> FormatOf:
    excluded = Patterns(rules.strings(key), rules.where)
    return lambda module: BF16 if excluded.means(module) else format_


METHODS: dict[str, Callable[[Config], FormatOf]] = {
    "fp8": _fp8,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "compressed-tensors": _compressed_tensors,
    "awq": _grouped_integers,
    "gptq": _grouped_integers,
}


def _by_part(format_of: FormatOf, layers: Sequence[Layer], linear_room: str) -> dict[str, Dtype]:
    """Return the format that most matrices of each part have; ties go to the one met first."""
    formats: dict[str, Dtype] = {"mtp": _of_mtp(format_of, len(layers))}
    for part in ("attention", "attention_output", "dense", "shared", "experts"):
        tally: dict[Dtype, int] = {}
        held = [index for index, layer in enumerate(layers) if _holds(layer, part)]
        for index in held[:: 1 + len(held) // MAX_PROBED] or range(1):
            matrices = names(part, f"model.layers.{index}", layers[index].attention.kind, linear_room)
            for found in _of_matrices(format_of, f"model.layers.{index}", matrices):
                tally[found] = tally.get(found, 0) + 1
        formats[part] = max(tally, key=lambda format_: tally[format_])
    return formats


def _of_mtp(format_of: FormatOf, layers: int) -> Dtype:
    """Return the format of the MTP modules' experts, which stand after the last layer or under ``mtp``."""
    found: list[Dtype] = []
    for prefix in (f"model.layers.{layers}", "mtp.layers.0"):
        found += _of_matrices(format_of, prefix, names("experts", prefix, "", ""))
    return BF16 if BF16 in found else found[0]


def _of_matrices(format_of: FormatOf, prefix: str, matrices: Sequence[Sequence[str]]) -> list[Dtype]:
    """Return each matrix's format: one alias is its real name, the others fall under the layer's general rule."""
    general = format_of(f"{prefix}.other")
    return [next((f for f in map(format_of, aliases) if f != general), general) for aliases in matrices]


def _holds(layer: Layer, part: str) -> bool:
    ffn = layer.ffn
    return {"dense": ffn.width > 0, "shared": ffn.shared_width > 0, "experts": ffn.experts > 0}.get(part, True)


def _kv_cache(rules: Config, default: Dtype) -> Dtype:
    algorithm = rules.text("kv_cache_quant_algo")
    if algorithm:
        if algorithm not in KV_ALGORITHMS:
            raise rules.bad("kv_cache_quant_algo", f"is {algorithm[:40]!r}; known: {', '.join(KV_ALGORITHMS)}")
        return KV_ALGORITHMS[algorithm]
    scheme = rules.section("kv_cache_scheme")
    if scheme is None:
        return default
    float8 = scheme.text("type", "float") == "float" and scheme.count("num_bits", 8) == 8
    return FP8 if float8 else INT8 if scheme.count("num_bits", 8) == 8 else NVFP4
