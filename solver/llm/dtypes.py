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
nf4           1/2 + 4/64         NormalFloat, one float32 scale per 64 elements (QLoRA, arXiv:2305.14314)
nf4_double    1/2 + 65/4096      the same with scales in 8 bits, one float32 per 256 of them (double quantisation)
int8          1                  one scale per channel, activations in int8 too
intB_channel  B/8                weights only, one scale per channel; B bits, 2 to 8
intB_gN       B/8 + 2/N          weights only, one bf16 scale per N elements of a row (compressed-tensors, GPTQ)
intB_gNz      (B + B/N + 16/N)/8  the same with a zero point of B bits per group (AWQ, asymmetric GPTQ)
intB_gNb      B/8 + 4/N          the same with a bf16 bias per group (MLX, torchao)
fp8_ds_mla    1                  KV cache only: MLA latent in fp8 with scales, rotary part in bf16 (FlashMLA)
============  =================  ==========================================================================

Formats whose weights multiply activations in another precision carry it in their name: ``nvfp4_w4a16`` and
``fp8_w8a16`` (bf16 activations), ``int4_gN_a8`` (fp8 activations). A part of a checkpoint that is kept in several formats
has the one that most of its parameters have, and the mean size of an element: ``nvfp4@0.7031``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
    mean_bytes: mean size of an element where some matrices of the part are kept in other formats [bytes]; 0 = all alike.
    """

    name: str
    element_bytes: float
    scale_bytes: float = 0.0
    group: int = 1
    compute: str = "bf16"
    needs: str | None = None
    fallback: str = "bf16"
    block: int = 1
    mean_bytes: float = 0.0

    @property
    def bytes_per_element(self) -> float:
        """Size of one element with its share of the scale [bytes].

        >>> dtype("nvfp4").bytes_per_element, dtype("int4_g32").bytes_per_element, dtype("nvfp4@0.75").bytes_per_element
        (0.5625, 0.5625, 0.75)
        """
        return self.mean_bytes or self.element_bytes + self.scale_bytes / self.group

    @property
    def spelled(self) -> str:
        """The name, with the mean size of an element where matrices are kept differently; :func:`dtype` reads it."""
        return f"{self.name}@{self.mean_bytes:.6g}" if self.mean_bytes else self.name

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
NVFP4_W4A16 = Dtype("nvfp4_w4a16", 0.5, scale_bytes=1, group=16, block=16)
FP8_W8A16 = Dtype("fp8_w8a16", 1.0)
NF4 = Dtype("nf4", 0.5, scale_bytes=4, group=64, block=64)
NF4_DOUBLE = Dtype("nf4_double", 0.5, scale_bytes=1 + 4 / 256, group=64, block=64)
INT8 = Dtype("int8", 1.0, compute="int8", needs="int8")
FP8_DS_MLA = Dtype("fp8_ds_mla", 1.0, compute="bf16")

MAX_GROUP = 4096


def integer(bits: int, group: int = 0, offset: str = "", activations: str = "") -> Dtype:
    """Return weight-only integers.

    Parameters
    ----------
    bits: of an element, 2 to 8.
    group: elements that share a bf16 scale; 0 = one scale per channel, which is not counted.
    offset: what goes with each scale: nothing, ``z`` (a zero point of as many bits) or ``b`` (a bf16 bias).
    activations: ``a8`` where activations are fp8, so that products run at that rate.
    """
    name = f"int{bits}_{f'g{group}{offset}' if group else 'channel'}{f'_{activations}' if activations else ''}"
    scale = 2 + {"": 0.0, "z": bits / 8, "b": 2.0}[offset] if group else 0.0
    compute: dict[str, Any] = {"compute": "fp8", "needs": "fp8"} if activations else {}
    return Dtype(name, bits / 8, scale_bytes=scale, group=group or 1, block=group or 1, **compute)


def int4(group: int) -> Dtype:
    """Return weight-only int4 with one bf16 scale per ``group`` elements."""
    return integer(4, group)


def blended(sizes: Mapping[Dtype, float]) -> Dtype:
    """Return the format of a part from its elements by format: the one with most elements, at the mean size.

    >>> print(blended({BF16: 1, NVFP4: 3}).spelled)
    nvfp4@0.921875
    """
    main = max(sizes, key=lambda format_: sizes[format_])
    if len(sizes) == 1:
        return main
    mean = sum(format_.bytes_per_element * size for format_, size in sizes.items()) / sum(sizes.values())
    return replace(main, mean_bytes=float(f"{mean:.6g}"))


WEIGHT_DTYPES = {
    d.name: d
    for d in (
        *(BF16, FP8, FP8_BLOCK, FP8_W8A16, MXFP8, NVFP4, NVFP4_W4A16, MXFP4, INT8, NF4, NF4_DOUBLE),
        *(int4(32), int4(64), int4(128), integer(4), integer(8)),
    )
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
_INTEGER = re.compile(r"int([2-8])_(?:channel|g([1-9]\d{0,3})([zb]?))(?:_(a8))?")
_MEAN = re.compile(r"(.+)@(\d{1,2}(?:\.\d{1,9})?)")


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
    key = name.lower()[:60]
    if known is WEIGHT_DTYPES and (mean := _MEAN.fullmatch(key)) and 0 < float(mean[2]) <= BF16.element_bytes:
        return replace(_named(mean[1], known, kind), mean_bytes=float(mean[2]))
    key = ALIASES.get(key, key)
    if key in known:
        return known[key]
    integers = _INTEGER.fullmatch(key) if known is WEIGHT_DTYPES else None
    if integers and int(integers[2] or 0) <= MAX_GROUP:
        return integer(int(integers[1]), int(integers[2] or 0), integers[3] or "", integers[4] or "")
    raise UnknownName(kind, name[:40], known)
