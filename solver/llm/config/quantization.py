"""Number formats of a checkpoint from its quantisation configs.

================================  ===============================================================================
``quant_method``                  rule
================================  ===============================================================================
fp8, fbgemm_fp8                   all linear modules but those excluded; per block if ``weight_block_size``
mxfp4, gpt_oss_mxfp4              routed experts only (gpt-oss)
modelopt                          ``quant_algo`` for all linear modules but those excluded; MIXED_PRECISION by module
compressed-tensors                ``config_groups`` with targets, but ``ignore``
awq, gptq, auto-round             integers in groups, all linear modules but those excluded; some in other bits
quark                             ``global_quant_config`` but ``exclude``; ``layer_quant_config`` by module
bitsandbytes, hqq, eetq           integers or NormalFloat of every linear module but the head
torchao                           ``quant_type`` by module
MLX (``quantization``)            integers with bias in groups, embedding and head too; some modules in other bits
================================  ===============================================================================

Sources count in the order of the engines: what ``config.json`` says, at either level; then the file beside it, which
counts alone where ``config.json`` says nothing, and else fills in the KV cache and the list of modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from solver.llm.config.formats import (
    KV_ALGORITHMS,
    by_bits,
    fp8_blocks,
    group_format,
    modelopt_format,
    quark_format,
    torchao_format,
)
from solver.llm.config.modules import Patterns, Rooms
from solver.llm.config.reader import Config
from solver.llm.config.scheme import Scheme
from solver.llm.dtypes import BF16, FP8, INT8, MXFP4, MXFP8, NF4, NF4_DOUBLE, NVFP4, Dtype, integer
from solver.llm.network import Layer
from solver.llm.precision import Precision

EXCLUSIONS = (
    *("modules_to_not_convert", "ignored_layers", "exclude_modules", "ignore", "exclude", "llm_int8_skip_modules"),
    *("skip_modules", "modules_to_not_quantize"),
)
"""Keys that list modules left alone."""
NARROW = ("awq", "awq-marlin", "auto-awq", "gptq", "gptq-marlin", "auto-gptq", "gptqmodel")
"""Methods whose kernels take 4 and 8 bits only (vLLM)."""
MAX_FORMATS = 64
"""Most groups of modules with a format of their own."""


def precision(
    sources: Sequence[Config],
    layers: Sequence[Layer],
    *,
    expert_dtype: str = "",
    kv_cache: Dtype = BF16,
    rooms: Rooms,
) -> Precision:
    """Return the format of each part.

    Parameters
    ----------
    sources: quantisation configs in the order in which they count; none = bf16.
    layers: every layer; a part has the format that most of its parameters have, at the mean size of all.
    expert_dtype: ``fp4`` where DeepSeek-V4 keeps the routed experts in MXFP4 whatever the rest is in.
    kv_cache: format of the cache where no source declares one.
    rooms: modules that hold the matrices of a layer.
    """
    found = Precision(kv_cache=kv_cache)
    rules = [source.section("quantization") or source for source in sources]
    if not rules:
        return found
    scheme, own_experts = _scheme(rules[0]), Scheme()
    for source in rules:
        if not own_experts.exceptions:
            own_experts = _listed(source)
    expert_dtype = expert_dtype or rules[0].text("expert_dtype")
    if expert_dtype == "fp4":
        fp4 = Patterns(("experts",), rules[0].where)
        own_experts = replace(own_experts, exceptions=(*own_experts.exceptions, (fp4, MXFP4)))
    formats = own_experts.over(scheme).by_part(layers, rooms)
    return replace(found, **formats, kv_cache=_kv_cache(rules, kv_cache))


def _scheme(rules: Config) -> Scheme:
    """Return what the first source says by its own method."""
    method = _method(rules)
    if method not in METHODS:
        raise rules.bad("quant_method", f"is {method[:40]!r}; known: {', '.join(METHODS)}")
    return METHODS[method](rules)


def _method(rules: Config) -> str:
    """Return the method's name: its own, or what the keys show."""
    told = rules.text("quant_method").lower().replace("_", "-")
    if told:
        return told
    if rules.has("quant_algo") or "quant_algo" in rules.values:
        return "modelopt"
    if rules.has("config_groups"):
        return "compressed-tensors"
    if rules.has("load_in_4bit") or rules.has("load_in_8bit"):
        return "bitsandbytes"
    if rules.has("qformat_weight"):
        return "fp8"
    if rules.has("mode") or (rules.has("bits") and rules.has("group_size") and not rules.has("desc_act")):
        return "awq" if rules.has("zero_point") or rules.has("version") else "mlx"
    if rules.has("bits") or rules.has("w_bit"):
        return "awq" if rules.has("w_bit") or rules.has("zero_point") else "gptq"
    return ""


def _excluded(rules: Config) -> Patterns:
    """Modules that any of the usual keys leaves alone."""
    return Patterns((name for key in EXCLUSIONS for name in rules.strings(key)), rules.where)


def _listed(rules: Config) -> Scheme:
    """Modules with a format of their own by name (ModelOpt), and the experts' where DeepSeek-V4 says it apart."""
    listed = rules.section("quantized_layers")
    by_format: dict[Dtype, list[str]] = {}
    for name in map(str, listed.values) if listed else ():
        entry = listed.section(name) if listed else None
        if entry is not None:
            by_format.setdefault(modelopt_format(entry, entry.text("quant_algo")), []).append(name)
    chosen = [(Patterns(names, rules.where), format_) for format_, names in by_format.items()]
    algorithm = rules.text("moe_quant_algo")
    if algorithm and not chosen:
        chosen.append((Patterns(("experts",), rules.where), modelopt_format(rules, algorithm, "moe_quant_algo")))
    return Scheme(exceptions=chosen)


def _fp8(rules: Config) -> Scheme:
    format_ = fp8_blocks(rules) if rules.has("weight_block_size") else FP8
    return _all_but(format_, rules, "modules_to_not_convert", "ignored_layers", "modules_to_not_quantize")


def _all_but(format_: Dtype, rules: Config, *keys: str) -> Scheme:
    left = Patterns((name for key in keys or EXCLUSIONS for name in rules.strings(key)), rules.where)
    return Scheme(format_, [(left, BF16)])


def _experts_only(rules: Config) -> Scheme:
    return Scheme(BF16, [(_excluded(rules), BF16), (Patterns(("experts",), rules.where), MXFP4)], mtp=BF16)


def _modelopt(rules: Config) -> Scheme:
    algorithm = rules.text("quant_algo")
    if algorithm in ("", "MIXED_PRECISION", "NONE"):
        return Scheme()
    return Scheme(modelopt_format(rules, algorithm), [(_excluded(rules), BF16)])


def _compressed_tensors(rules: Config) -> Scheme:
    """Names count before ``Linear``, which means every linear module that no group names."""
    groups = rules.section("config_groups")
    if groups and len(groups.values) > MAX_FORMATS:
        raise rules.bad("config_groups", f"must have at most {MAX_FORMATS} groups, not {len(groups.values)}")
    named: list[tuple[Patterns, Dtype]] = []
    everywhere: list[Dtype] = []
    for name in groups.values if groups else ():
        group = groups.section(name) if groups else None
        if group is None:
            continue
        format_, targets = group_format(group), group.strings("targets")
        names = [target for target in targets if target not in ("Linear", "Embedding", "MoE")]
        if names:
            named.append((Patterns(names, rules.where), format_))
        if not targets or "Linear" in targets:
            everywhere.append(format_)
    return Scheme((*everywhere, BF16)[0], [(_excluded(rules), BF16), *named])


def _integers(rules: Config) -> Scheme:
    """AWQ, GPTQ and AutoRound: one width for all, others for modules that ``dynamic`` or ``extra_config`` names."""
    offset = "z" if rules.flag("zero_point") or not rules.flag("sym", True) else ""
    default = by_bits(rules, offset)
    if _method(rules) in NARROW and default not in (BF16, MXFP4) and default.element_bytes not in (0.5, 1.0):
        raise rules.bad(rules.spelled("bits"), f"is {round(8 * default.element_bytes)}; known: 4, 8")
    chosen: list[tuple[Patterns, Dtype]] = [(_excluded(rules), BF16)]
    dynamic = rules.section("dynamic")
    for name in dynamic.values if dynamic else ():
        sign, expression = (name[0], name[2:]) if name[:2] in ("+:", "-:") else ("+", name)
        entry = dynamic.section(name) if dynamic and sign == "+" else None
        chosen.append((Patterns((f"re:{expression}",), rules.where), by_bits(entry, offset, rules) if entry else BF16))
    extra = rules.section("extra_config")
    by_format: dict[Dtype, list[str]] = {}
    for name in extra.values if extra else ():
        entry = extra.section(name) if extra else None
        if entry is not None:
            meant = f"re:{name}" if set(name) & set("\\^$+|()[]") else name
            by_format.setdefault(by_bits(entry, offset, rules), []).append(meant)
    chosen += [(Patterns(names, rules.where), format_) for format_, names in by_format.items()]
    return Scheme(default, chosen, head=default if rules.flag("lm_head") else BF16)


def _quark(rules: Config) -> Scheme:
    chosen: list[tuple[Patterns, Dtype]] = [(_excluded(rules), BF16)]
    by_name = rules.section("layer_quant_config")
    for name in by_name.values if by_name else ():
        entry = by_name.section(name) if by_name else None
        if entry is not None and len(chosen) < MAX_FORMATS:
            chosen.append((Patterns((name,), rules.where), quark_format(entry)))
    everywhere = rules.section("global_quant_config")
    return Scheme(quark_format(everywhere) if everywhere else BF16, chosen)


def _bitsandbytes(rules: Config) -> Scheme:
    if rules.flag("load_in_8bit") or rules.flag("_load_in_8bit"):
        return _all_but(integer(8), rules)
    if not (rules.flag("load_in_4bit") or rules.flag("_load_in_4bit")):
        return Scheme()
    return _all_but(NF4_DOUBLE if rules.flag("bnb_4bit_use_double_quant") else NF4, rules)


def _hqq(rules: Config) -> Scheme:
    nested = rules.section("quant_config")
    weights = nested.section("weight_quant_params") if nested else None
    if weights is None:
        raise rules.bad("quant_config", "must hold weight_quant_params")
    format_ = integer(weights.count("nbits", low=2, high=8), weights.count("group_size", 64, high=4096), "b")
    return _all_but(format_, rules)


def _torchao(rules: Config) -> Scheme:
    kind = rules.raw("quant_type")
    excluded = (_excluded(rules), BF16)
    if isinstance(kind, Mapping):
        section = rules.section("quant_type")
        entry = section.section("default") if section and section.has("default") else section
        by_name = (
            entry.section("_data") if entry and entry.text("_type") in ("ModuleFqnToConfig", "FqnToConfig") else None
        )
        if by_name is not None:
            return _torchao_by_name(by_name.section("module_fqn_to_config") or by_name, excluded)
        format_ = torchao_format(entry) if entry else BF16
    else:
        arguments = rules.section("quant_type_kwargs")
        plain: dict[str, Any] = {"_type": rules.text("quant_type"), "_data": arguments.values if arguments else {}}
        format_ = torchao_format(Config(plain, rules.where, rules.path, rules.from_file))
    everything = rules.flag("include_input_output_embeddings")
    return Scheme(format_, [excluded], *((format_, format_) if everything else ()))


def _torchao_by_name(by_name: Config, excluded: tuple[Patterns, Dtype]) -> Scheme:
    default, chosen = BF16, [excluded]
    for name in by_name.values:
        entry = by_name.section(name)
        if name == "_default":
            default = torchao_format(entry) if entry else BF16
        elif len(chosen) < MAX_FORMATS:
            chosen.append((Patterns((name,), by_name.where), torchao_format(entry) if entry else BF16))
    return Scheme(default, chosen)


def _mlx(rules: Config) -> Scheme:
    """MLX quantises every linear module, embedding and head; an entry under a module's name says otherwise."""
    default = _mlx_format(rules, None)
    by_format: dict[Dtype, list[str]] = {}
    for name, value in rules.values.items():
        if "." in name or name in ("lm_head",):
            entry = rules.section(name) if isinstance(value, Mapping) else None
            left = value is False or (entry is not None and not entry.values)
            by_format.setdefault(BF16 if left else _mlx_format(entry or rules, rules), []).append(name)
    chosen = [(Patterns(names, rules.where), format_) for format_, names in by_format.items()]
    return Scheme(default, chosen, default, default)


def _mlx_format(rules: Config, usual: Config | None) -> Dtype:
    mode = rules.text("mode", usual.text("mode", "affine") if usual else "affine")
    if mode in ("mxfp4", "mxfp8", "nvfp4"):
        return {"mxfp4": MXFP4, "mxfp8": MXFP8, "nvfp4": NVFP4}[mode]
    return by_bits(rules, "b", usual)


METHODS: dict[str, Callable[[Config], Scheme]] = {
    "mxfp4": _experts_only,
    "fp8": _fp8,
    "gpt-oss-mxfp4": _experts_only,
    **dict.fromkeys(("fbgemm-fp8", "deepseek-v4-fp8", "w8a8-fp8", "ptpc-fp8"), _fp8),
    "mxfp8": lambda rules: _all_but(MXFP8, rules),
    "w8a8-int8": lambda rules: _all_but(INT8, rules),
    **dict.fromkeys(
        ("modelopt", "modelopt-fp4", "modelopt-mxfp8", "modelopt-mixed", "modelopt-fp8", "petit-nvfp4"), _modelopt
    ),
    "compressed-tensors": _compressed_tensors,
    **dict.fromkeys(("awq", "awq-marlin", "auto-awq", "gptq", "gptq-marlin", "auto-gptq", "gptqmodel"), _integers),
    **dict.fromkeys(("auto-round", "intel/auto-round", "inc", "moe-wna16"), _integers),
    "quark": _quark,
    "bitsandbytes": _bitsandbytes,
    "hqq": _hqq,
    **dict.fromkeys(("eetq", "experts-int8"), lambda rules: _all_but(integer(8), rules)),
    "torchao": _torchao,
    "mlx": _mlx,
}
"""How each method is read."""


def _kv_cache(sources: Sequence[Config], default: Dtype) -> Dtype:
    """Return the KV cache's format from the first source that tells it."""
    for rules in sources:
        algorithm = rules.text("kv_cache_quant_algo")
        if algorithm and algorithm.upper() not in ("NONE", "AUTO"):
            if algorithm not in KV_ALGORITHMS:
                raise rules.bad("kv_cache_quant_algo", f"is {algorithm[:40]!r}; known: {', '.join(KV_ALGORITHMS)}")
            return KV_ALGORITHMS[algorithm]
        scheme = rules.raw("kv_cache_scheme")
        if isinstance(scheme, str) and scheme.upper() in KV_ALGORITHMS:
            return KV_ALGORITHMS[scheme.upper()]
        scheme = rules.section("kv_cache_scheme")
        if scheme is not None:
            bits = scheme.count("num_bits", 8)
            return NVFP4 if bits == 4 else FP8 if scheme.text("type", "float") == "float" else INT8
        quark = rules.section("kv_cache_quant_config")
        if quark is not None and any("fp8" in repr(value)[:2000] for value in quark.values.values()):
            return FP8
    return default
