"""Number formats of weights and KV caches: bytes per element with scales, tensor-core rate and shard block.

============  =================  ==========================================================================
name          bytes per element  format
============  =================  ==========================================================================
bf16          2                  bfloat16 or float16
fp8           1                  e4m3, one scale per tensor or channel (not counted: below 0.1 %)
fp8_block     1 + 4/16384        e4m3, one float32 scale per 128 x 128 block (DeepSeek-V3, arXiv:2412.19437 3.3)
mxfp8         1 + 1/32           e4m3, one e8m0 scale per 32 elements (OCP Microscaling v1.0)
nvfp4         1/2 + 1/16         e2m1, one e4m3 scale per 16 elements (NVIDIA ModelOpt)
mxfp4         1/2 + 1/32         e2m1, one e8m0 scale per 32 elements (OCP Microscaling v1.0)
int8          1                  one scale per channel
int4_gN       1/2 + 2/N          one bf16 scale per N elements of a row (compressed-tensors, AWQ, GPTQ)
int4_channel  1/2                one scale per channel
fp8_ds_mla    1                  KV cache only: MLA latent in fp8 with scales, rotary part in bf16 (FlashMLA)
============  =================  ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from solver.errors import BadInput, UnknownName


@dataclass(frozen=True)
class Dtype:
    """A number format.

    Attributes
    ----------
    name: the word used in scenarios and plans.
    element_bytes: size of one element without its scale [bytes].
    scale_bytes: size of one scale [bytes].
    group: elements that share a scale.
    compute: tensor-core rate that matrix products in this format run at (``bf16``, ``fp8``, ``fp4`` or ``int8``) ...
    needs: ... on a device that has this rate; None when every device does.
    fallback: rate on other devices, where weights are expanded before the product.
    block: elements that may not be cut apart, so that a shard of a matrix must be a multiple of it.
    """

    name: str
    element_bytes: float
    scale_bytes: float = 0.0
    group: int = 1
    compute: str = "bf16"
    needs: str | None = None
    fallback: str = "bf16"
    block: int = 1

    @property
    def bytes_per_element(self) -> float:
        """Size of one element with its share of the scale [bytes].

        >>> dtype("nvfp4").bytes_per_element, dtype("int4_g32").bytes_per_element
        (0.5625, 0.5625)
        """
        return self.element_bytes + self.scale_bytes / self.group

    def rate(self, rates: Collection[str]) -> str:
        """Return the tensor-core rate used on a device that has ``rates``.

        MXFP4 weights multiply fp8 activations where block-scaled instructions exist (devices with an fp4 rate), and are
        expanded to bf16 elsewhere.

        >>> dtype("mxfp4").rate({"bf16", "fp8", "fp4"}), dtype("mxfp4").rate({"bf16", "fp8"})
        ('fp8', 'bf16')
        """
        return self.compute if self.needs is None or self.needs in rates else self.fallback

    def __str__(self) -> str:
        return self.name


BF16 = Dtype("bf16", 2.0)
FP8 = Dtype("fp8", 1.0, compute="fp8", needs="fp8")
FP8_BLOCK = Dtype("fp8_block", 1.0, scale_bytes=4, group=128 * 128, compute="fp8", needs="fp8", block=128)
MXFP8 = Dtype("mxfp8", 1.0, scale_bytes=1, group=32, compute="fp8", needs="fp4", block=32)
NVFP4 = Dtype("nvfp4", 0.5, scale_bytes=1, group=16, compute="fp4", needs="fp4", block=16)
MXFP4 = Dtype("mxfp4", 0.5, scale_bytes=1, group=32, compute="fp8", needs="fp4", block=32)
INT8 = Dtype("int8", 1.0, compute="int8", needs="int8")
INT4_CHANNEL = Dtype("int4_channel", 0.5)
FP8_DS_MLA = Dtype("fp8_ds_mla", 1.0, compute="bf16")

MAX_GROUP = 4096


def int4(group: int) -> Dtype:
    """Return weight-only int4 with one bf16 scale per ``group`` elements."""
    return Dtype(f"int4_g{group}", 0.5, scale_bytes=2, group=group, block=group)


WEIGHT_DTYPES = {
    d.name: d for d in (BF16, FP8, FP8_BLOCK, MXFP8, NVFP4, MXFP4, INT8, int4(32), int4(64), int4(128), INT4_CHANNEL)
}
KV_DTYPES = {d.name: d for d in (BF16, FP8, INT8, NVFP4, FP8_DS_MLA)}
ALIASES = {
    "bfloat16": "bf16",
    "float16": "bf16",
    "fp16": "bf16",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "int4": "int4_g128",
}
_INT4 = re.compile(r"int4_g([1-9]\d{0,3})")


def dtype(name: str | Dtype) -> Dtype:
    """Return the weight format of this name.

    Raises
    ------
    UnknownName: no format is called that; names the nearest.
    """
    return _named(name, WEIGHT_DTYPES, "weight dtype")


def kv_dtype(name: str | Dtype) -> Dtype:
    """Return the KV-cache format of this name.

    Raises
    ------
    UnknownName: engines keep no KV cache in that format; names the nearest.
    """
    return _named(name, KV_DTYPES, "KV-cache dtype")


def _named(name: str | Dtype, known: dict[str, Dtype], kind: str) -> Dtype:
    if isinstance(name, Dtype):
        return name
    if not isinstance(name, str):
        raise BadInput(f"a {kind} is a name such as {', '.join(known)}, not {type(name).__name__}")
    key = name.lower()[:40]
    key = ALIASES.get(key, key)
    if key in known:
        return known[key]
    group = _INT4.fullmatch(key)
    if group and known is WEIGHT_DTYPES and int(group[1]) <= MAX_GROUP:
        return int4(int(group[1]))
    raise UnknownName(kind, name[:40], known)
