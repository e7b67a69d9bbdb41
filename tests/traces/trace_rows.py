"""Traces written by hand, and a cache replayed block by block for comparison."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

#: Arrival [s], prompt, output [tokens], hashes of blocks.
Row = tuple[float, int, int, list[int]]

#: Blocks of 100 tokens; the figures that follow from it stand in test_reuse.py.
CONVERSATIONS: list[Row] = [
    (0, 250, 7, [1, 2, 3]),
    (10, 450, 8, [1, 2, 4, 5, 6]),
    (25, 470, 9, [1, 2, 4, 5, 7]),
    (30, 300, 5, [1, 8, 9]),
    (40, 150, 5, [1, 10]),
    (50, 150, 5, [1, 11]),
    (60, 150, 5, [1, 12]),
    (61, 470, 9, [1, 2, 4, 5, 7]),
]


def mooncake_lines(rows: Sequence[Row]) -> list[str]:
    """Mooncake's format."""
    return [
        json.dumps({"timestamp": seconds * 1000, "input_length": prompt, "output_length": output, "hash_ids": blocks})
        for seconds, prompt, output, blocks in rows
    ]


def replayed(rows: Sequence[Row], block_tokens: int) -> tuple[Counter[float], Counter[float], int, int]:
    """Tokens found by idle time, tokens cut off by age, blocks and hits: a dictionary from prefixes to last uses."""
    last: dict[tuple[int, ...], tuple[float, int]] = {}
    found: Counter[float] = Counter()
    blocks = hits = 0
    for now_s, prompt, _, hashes in rows:
        blocks += len(hashes)
        for place in range(len(hashes)):
            prefix = tuple(hashes[: place + 1])
            if prefix in last:
                hits += 1
                found[now_s - last[prefix][0]] += last[prefix][1]
                last[prefix] = now_s, last[prefix][1]
            else:
                last[prefix] = now_s, min(block_tokens, prompt - place * block_tokens)
    cut_off: Counter[float] = Counter()
    for used_s, tokens in last.values():
        cut_off[rows[-1][0] - used_s] += tokens
    return +found, +cut_off, blocks, hits


def product_limit(reused: list[tuple[float, int]], cut_off: list[tuple[float, int]], age_s: float) -> float:
    """Kaplan and Meier's estimate from (age, tokens), the product over times of use in fractions."""
    share = Fraction(1)
    for time in sorted({age for age, _ in reused if age <= age_s}):
        used = sum(tokens for age, tokens in reused if age == time)
        at_risk = sum(tokens for age, tokens in reused + cut_off if age >= time)
        share *= 1 - Fraction(used, at_risk)
    return float(share)
