"""The network being served: its shape, its number formats, where to find them.

>>> from solver.llm import LLM
>>> v3 = LLM.from_config("deepseek-v3")
>>> round(v3.parameters / 1e9), v3.kv_bytes_per_token
(671, 70272.0)

A network of one's own is built by hand::

    attention = grouped_query(hidden=64, heads=4, kv_heads=2, head_dim=16)
    tiny = LLM("tiny", hidden=64, vocab=1000, layers=(Layer(attention, FFN(64, width=256)),) * 2)
"""

from solver.llm import loading as _loading  # noqa: F401 - where LLM.from_config finds LLMs
from solver.llm.attention import Attention
from solver.llm.attention_shapes import compressed, grouped_query, latent
from solver.llm.catalog import names
from solver.llm.dtypes import Dtype, dtype, kv_dtype
from solver.llm.ffn import FFN
from solver.llm.network import LLM, Layer, count_kinds
from solver.llm.plain import from_plain, to_plain
from solver.llm.precision import Precision
from solver.llm.recurrent_shapes import gated_delta, kimi_delta, lightning, mamba1, mamba2, short_convolution

__all__ = [
    "FFN",
    "LLM",
    "Attention",
    "Dtype",
    "Layer",
    "Precision",
    "compressed",
    "count_kinds",
    "dtype",
    "from_plain",
    "gated_delta",
    "grouped_query",
    "kimi_delta",
    "kv_dtype",
    "latent",
    "lightning",
    "mamba1",
    "mamba2",
    "names",
    "short_convolution",
    "to_plain",
]
