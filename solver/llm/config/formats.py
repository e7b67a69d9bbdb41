"""Number formats in the words of the tools that make checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

from solver.llm.config.reader import Config
from solver.llm.dtypes import (
    BF16,
    FP8,
    FP8_BLOCK,
    FP8_W8A16,
    INT8,
    MAX_GROUP,
    MXFP4,
    MXFP8,
    NVFP4,
    NVFP4_W4A16,
    Dtype,
    integer,
)

MODELOPT: dict[str, Dtype] = {
    "FP8": FP8,
    "FP8_PER_CHANNEL_PER_TOKEN": FP8,
    "FP8_PB_WO": FP8_BLOCK,
    "FP8_PB_REAL": FP8_BLOCK,
    "MXFP8": MXFP8,
    "MXFP4": MXFP4,
    "W4A8_MXFP4_FP8": MXFP4,
    "NVFP4": NVFP4,
    "NVFP4_AWQ": NVFP4,
    "NVFP4_SVD": NVFP4,
    "W4A8_NVFP4_FP8": NVFP4,
    "W4A16_NVFP4": NVFP4_W4A16,
    "NVFP4_W4A16": NVFP4_W4A16,
    "INT8_SQ": INT8,
    "INT8_WO": integer(8),
    "W8A16": integer(8),
}
INTEGERS = {"W4A16_AWQ": "", "INT4_AWQ": "", "W4A16": "", "W4A8_AWQ": "a8"}
"""ModelOpt's int4 in groups, and the width of the activations where it is not bf16."""
BLOCKS: dict[tuple[int, ...], Dtype] = {(128, 128): FP8_BLOCK, (1, 128): FP8_BLOCK, (1, 32): MXFP8, (32, 32): FP8_BLOCK}
KV_ALGORITHMS = {"FP8": FP8, "NVFP4": NVFP4, "INT8": INT8}


def fp8_blocks(rules: Config) -> Dtype:
    """Return block-wise fp8 by ``weight_block_size``."""
    block = tuple(rules.integers("weight_block_size"))
    if not block:
        return FP8
    if block not in BLOCKS:
        known = ", ".join(str(list(b)) for b in BLOCKS)
        raise rules.bad("weight_block_size", f"is {list(block)[:4]}; known: {known}")
    return BLOCKS[block]


def modelopt_format(rules: Config, algorithm: str, key: str = "quant_algo") -> Dtype:
    """Return the format of one of ModelOpt's algorithms."""
    word = algorithm.upper()
    if word in INTEGERS:
        return integer(4, rules.count("group_size", 128, high=MAX_GROUP), activations=INTEGERS[word])
    if word not in MODELOPT:
        raise rules.bad(key, f"is {algorithm[:40]!r}; known: {', '.join((*MODELOPT, *INTEGERS))}, MIXED_PRECISION")
    return MODELOPT[word]


def group_format(group: Config) -> Dtype:
    """Return the format of a group of compressed-tensors, by its weights and what they multiply."""
    weights = group.section("weights")
    if weights is None:
        return BF16
    bits, kind, strategy = weights.count("num_bits", high=16), weights.text("type", "int"), weights.text("strategy")
    size = weights.count("group_size", 0, low=-1, high=MAX_GROUP)
    alone = "input_activations" in group.values and not group.has("input_activations")
    if (kind, bits) == ("float", 4):
        nvidia = size == 16 or strategy == "tensor_group"
        return (NVFP4_W4A16 if alone else NVFP4) if nvidia else MXFP4
    if (kind, bits) == ("float", 8):
        if size == 32:
            return MXFP8
        return FP8_BLOCK if strategy == "block" else FP8_W8A16 if alone else FP8
    if kind == "int" and bits == 8 and size <= 0 and not alone:
        return INT8
    if kind == "int" and bits in (4, 8):
        activations = group.section("input_activations")
        offset = "" if weights.flag("symmetric", True) else "z"
        narrow = bits == 4 and activations is not None and activations.count("num_bits", 16) == 8
        return integer(bits, max(size, 0), offset if size > 0 else "", "a8" if narrow else "")
    raise weights.bad("num_bits", f"is {bits} with type {kind[:20]!r}; known: float 4 or 8, int 4 or 8")


def by_bits(rules: Config, offset: str, usual: Config | None = None) -> Dtype:
    """Return integers of ``bits`` in groups; what an entry leaves out is as ``usual``. 16 bits and more are bf16."""
    keys = (("bits", "w_bit", "num_bits"), ("group_size", "q_group_size"))
    told = [next((key for key in names if rules.has(key)), names[0]) for names in keys]
    usual_bits = by_bits_of(usual) if usual else 4
    bits = rules.count(told[0], usual_bits, high=64)
    size = rules.count(
        told[1], usual.count(told[1], 128, low=-1, high=MAX_GROUP) if usual else 128, low=-1, high=MAX_GROUP
    )
    kind = rules.text("data_type", "int")
    if bits >= 16:
        return BF16
    if kind.startswith("mx_fp") or kind == "mx_fp4":
        return MXFP8 if bits == 8 else MXFP4
    if kind.startswith(("nv_fp", "nvfp")):
        return NVFP4
    if kind.startswith("fp8") or (kind.startswith("fp") and bits == 8):
        return FP8
    if not 2 <= bits <= 8:
        raise rules.bad(told[0], f"is {bits}; known: 2 to 8")
    return integer(bits, max(size, 0), offset if size > 0 else "")


def by_bits_of(rules: Config) -> int:
    """Return the usual width."""
    key = next((key for key in ("bits", "w_bit") if rules.has(key)), "bits")
    return rules.count(key, 4, high=64)


def quark_format(entry: Config) -> Dtype:
    """Return the format of one of Quark's entries; of weights quantised twice, the narrower."""
    value = entry.raw("weight")
    specs = value if isinstance(value, list) else [value] if value is not None else []
    formats = []
    for spec in specs:
        if not isinstance(spec, Mapping):
            raise entry.bad("weight", "must be an object")
        formats.append(_quark_weight(Config(spec, entry.where, f"{entry.path}weight.", entry.from_file), entry))
    return min(formats, key=lambda format_: format_.element_bytes, default=BF16)


def _quark_weight(weight: Config, entry: Config) -> Dtype:
    kind, scheme = weight.text("dtype"), weight.text("qscheme")
    size = weight.count("group_size", 0, low=-1, high=MAX_GROUP) if weight.has("group_size") else 0
    alone = not entry.has("input_tensors")
    if kind.startswith("fp8"):
        blocks = scheme == "per_block" or (scheme == "per_group" and size == 128)
        return MXFP8 if scheme == "per_group" and size == 32 else FP8_BLOCK if blocks else FP8_W8A16 if alone else FP8
    if kind in ("fp4", "mx", "mxfp4"):
        return MXFP4
    if kind.startswith(("int", "uint")):
        bits = int(digits) if (digits := kind.strip("uint")).isdecimal() else 0
        if 2 <= bits <= 8:
            grouped = size if scheme == "per_group" and size > 0 else 0
            if bits == 8 and not grouped and not alone:
                return INT8
            return integer(bits, grouped, "" if weight.flag("symmetric", True) or not grouped else "z")
    if kind in ("bfloat16", "float16", ""):
        return BF16
    raise weight.bad("dtype", f"is {kind[:40]!r}; known: fp8_e4m3, fp4, int4, int8")


def torchao_format(entry: Config) -> Dtype:
    """Return the format of one of torchao's configs, by its class or by its short name."""
    kind = entry.text("_type").lower().replace("_", "").removesuffix("config")
    data = entry.section("_data")
    size = data.count("group_size", 128, low=-1, high=MAX_GROUP) if data and data.has("group_size") else 0
    known: dict[str, Dtype] = {
        "int4weightonly": integer(4, size or 128, "b"),
        "int8weightonly": integer(8, max(size, 0)),
        "int8dynamicactivationint8weight": INT8,
        "int8dynamicactivationint4weight": integer(4, size or 32),
        "float8weightonly": FP8_W8A16,
        "float8dynamicactivationfloat8weight": FP8,
        "float8staticactivationfloat8weight": FP8,
        "float8dynamicactivationint4weight": integer(4, size or 128, activations="a8"),
        "nvfp4inference": NVFP4,
        "nvfp4dynamicactivationnvfp4weight": NVFP4,
        "mxfpinference": MXFP8,
        "mxfp4inference": MXFP4,
        "mxdynamicactivationmxweight": MXFP4,
    }
    if kind not in known:
        raise entry.bad("quant_type", f"is {entry.text('_type')[:40]!r}; known: {', '.join(sorted(known))}")
    return known[kind]
