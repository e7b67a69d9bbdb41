"""Traces of one JSON object a line: Mooncake's and Qwen-Bailian's."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any

from solver.traces.clocks import UNITS, unit_of
from solver.traces.record import Broken, Entry, believed, real, whole

_WORD = 2**64 - 1
#: Chats whose conversation is remembered; the oldest are forgotten beyond it (about 100 bytes each).
_REMEMBERED_CHATS = 250_000


class Mooncake:
    """``{"timestamp": ms, "input_length": n, "output_length": m, "hash_ids": [...]}`` with blocks of 512 tokens.

    Source: kvcache-ai/Mooncake, FAST'25 traces, README.
    """

    names_classes = False

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.unit, self._unit_s = "ms", 1e-3

    def tell_unit(self, lines: Sequence[str], wanted: str, file: str) -> None:
        """Settle the unit of times: milliseconds as Mooncake defines them, unless the first lines or the caller tell others.

        Raises
        ------
        BadInput: the rate fits neither.
        """
        values = []
        for line in lines if wanted == "auto" else ():
            try:
                values.append(real(_value(_object(line), "timestamp"), "timestamp"))
            except Broken:
                continue
        self.unit = unit_of(values, "ms", "timestamp", file) if wanted == "auto" else wanted
        self._unit_s = UNITS[self.unit]

    def parse(self, line: str) -> Entry:
        """The request on one line.

        Raises
        ------
        Broken
        """
        row = _object(line)
        arrival_s = real(_value(row, "timestamp"), "timestamp") * self._unit_s
        prompt, output = _lengths(row)
        believed(arrival_s, prompt, output)
        return Entry(arrival_s, prompt, output, blocks=_blocks(row, prompt, self.block_tokens))


class Bailian:
    """``{"chat_id", "parent_chat_id", "timestamp": s, "input_length", "output_length", "type", "hash_ids"}`` a line.

    Blocks are of 16 tokens. A session is named by the chat at its root, whose parent is -1. Source:
    alibaba-edu/qwen-bailian-usagetraces-anon, README.
    """

    names_classes = False

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self._root: dict[int, int] = {}

    def parse(self, line: str) -> Entry:
        """The request on one line.

        Raises
        ------
        Broken
        """
        row = _object(line)
        arrival_s = real(_value(row, "timestamp"), "timestamp")
        prompt, output = _lengths(row)
        believed(arrival_s, prompt, output)
        blocks = _blocks(row, prompt, self.block_tokens)
        chat = whole(_value(row, "chat_id"), "chat_id")
        parent = whole(row.get("parent_chat_id", -1), "parent_chat_id")
        label = row.get("type")
        return Entry(arrival_s, prompt, output, self._session(chat, parent), str(label)[:80] if label else None, blocks)

    def _session(self, chat: int, parent: int) -> int:
        root = chat if parent < 0 else self._root.get(parent, parent)
        self._root[chat] = root
        if len(self._root) > _REMEMBERED_CHATS:
            for old in list(self._root)[: _REMEMBERED_CHATS // 4]:
                del self._root[old]
        return root


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise Broken("not a JSON object") from None
    if not isinstance(row, dict):
        raise Broken("not a JSON object")
    return row


def _value(row: dict[str, Any], key: str) -> object:
    try:
        return row[key]
    except KeyError:
        raise Broken(f"{key} is missing") from None


def _lengths(row: dict[str, Any]) -> tuple[int, int]:
    """Prompt and output [tokens]."""
    prompt = whole(_value(row, "input_length"), "input_length")
    return prompt, whole(_value(row, "output_length"), "output_length")


def _blocks(row: dict[str, Any], prompt: int, block_tokens: int) -> array[int] | None:
    """Block hashes as 64-bit words (n,); one block more than the prompt fills is let pass (padding)."""
    ids = row.get("hash_ids")
    if ids is None:
        return None
    if not isinstance(ids, list):
        raise Broken("hash_ids is not a list")
    if len(ids) > prompt // block_tokens + 2:
        raise Broken(f"{len(ids)} hash_ids for a prompt of {prompt} tokens in blocks of {block_tokens}")
    try:
        return array("Q", ids)
    except (TypeError, OverflowError):
        if any(type(block) is not int for block in ids):
            raise Broken("hash_ids are not whole numbers") from None
        return array("Q", [block & _WORD for block in ids])
