"""An LLM as plain data, so that a plan can carry the network it was made for.

The form is this project's own, not a Hugging Face config: kinds of attention and FFN, and runs of layers that use them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast, get_type_hints

from solver.errors import BadInput, UnknownName
from solver.llm.attention import KINDS, Attention
from solver.llm.ffn import FFN
from solver.llm.network import LLM, Layer
from solver.llm.precision import Precision

FORMAT = "rackplan_llm"
VERSION = 1
MOST_LAYERS = 4096
MOST = 10**15
_Part = TypeVar("_Part", Attention, FFN)
_TEXTS = ("name", "title", "source", "as_of")
_COUNTS = ("hidden", "vocab", "mtp_layers", "max_context")
_LATER = ("table_parameters", "notes")
"""Keys that files of this version may lack, since all LLMs had the default when they were written."""
_UNKEPT = "projections"
"""What only reading a config needs."""


def to_plain(llm: LLM) -> dict[str, Any]:
    """The LLM as data that JSON can hold; :func:`from_plain` reads it back."""
    kinds = [layer for layer, _ in llm.layer_kinds]
    runs = [[len(list(run)), kinds.index(layer)] for layer, run in itertools.groupby(llm.layers)]
    return {
        FORMAT: VERSION,
        **{key: getattr(llm, key) for key in (*_TEXTS, *_COUNTS, "tied_embeddings")},
        "encoder_bytes": int(llm.encoder_bytes),
        "table_parameters": llm.table_parameters,
        "notes": list(llm.notes),
        "precision": llm.precision.spelled(),
        "kinds": [
            {
                "attention": {k: v for k, v in dataclasses.asdict(layer.attention).items() if k != _UNKEPT},
                "ffn": dataclasses.asdict(layer.ffn),
            }
            for layer in kinds
        ],
        "layers": runs,
    }


def from_plain(values: Mapping[str, Any]) -> LLM:
    """Read what :func:`to_plain` wrote.

    Raises
    ------
    BadInput: another version, a missing key, or a value that makes no sense; names the key.
    """
    if values.get(FORMAT) != VERSION:
        raise BadInput(f"llm.config: {FORMAT} is {values.get(FORMAT)!r}; this rackplan reads {VERSION}")
    wanted = {FORMAT, *_TEXTS, *_COUNTS, "tied_embeddings", "encoder_bytes", "precision", "kinds", "layers"}
    for key in sorted(wanted ^ (set(values) - set(_LATER))):
        raise BadInput(f"llm.config: {key} is {'missing' if key in wanted else 'not a key of an LLM'}")
    kinds = [_kind(kind, f"kinds.{number}") for number, kind in enumerate(_list(values["kinds"], "kinds"))]
    layers = [layer for run in _list(values["layers"], "layers") for layer in _run(run, kinds)]
    if len(layers) > MOST_LAYERS:
        raise BadInput(f"llm.config: {len(layers)} layers; the limit is {MOST_LAYERS}")
    return LLM(
        layers=tuple(layers),
        precision=Precision.from_names(_texts(values["precision"], "precision")),
        tied_embeddings=_flag(values["tied_embeddings"], "tied_embeddings"),
        encoder_bytes=float(_count(values["encoder_bytes"], "encoder_bytes")),
        table_parameters=_count(values.get("table_parameters", 0), "table_parameters"),
        notes=_notes(values.get("notes", [])),
        **cast(Any, {key: _text(values[key], key) for key in _TEXTS}),
        **cast(Any, {key: _count(values[key], key) for key in _COUNTS}),
    )


def _kind(values: object, where: str) -> Layer:
    if not isinstance(values, Mapping) or set(values) != {"attention", "ffn"}:
        raise BadInput(f"llm.config: {where} must hold attention and ffn")
    attention = _part(Attention, values["attention"], f"{where}.attention")
    if attention.kind not in KINDS:
        raise UnknownName("kind of attention", attention.kind[:40], KINDS)
    heads = attention.heads or attention.kind == "none"
    if min(heads, attention.kv_heads, attention.compression) < 1:
        raise BadInput(f"llm.config: {where}.attention: heads, kv_heads and compression must be at least 1")
    return Layer(attention, _part(FFN, values["ffn"], f"{where}.ffn"))


def _part(kind: type[_Part], values: object, where: str) -> _Part:
    """Build a dataclass of counts, flags and one text from a mapping with its fields; those with a default may lack."""
    hints = get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.name != _UNKEPT]
    names = {field.name for field in fields}
    optional = {field.name for field in fields if field.default is not dataclasses.MISSING}
    if not isinstance(values, Mapping):
        raise BadInput(f"llm.config: {where} must be a mapping")
    for key in sorted((names - optional - set(values)) | ({str(key) for key in values} - names)):
        raise BadInput(f"llm.config: {where}.{key[:40]} is {'missing' if key in names else 'not known'}")
    read: dict[str, Any] = {key: _value(hints[key], values[key], f"{where}.{key}") for key in names & set(values)}
    return kind(**read)


def _value(hint: object, value: object, where: str) -> object:
    if hint is bool:
        return _flag(value, where)
    if hint is str:
        return _text(value, where)
    if value is None and hint == (int | None):
        return None
    return _count(value, where)


def _run(run: object, kinds: Sequence[Layer]) -> list[Layer]:
    if not isinstance(run, list | tuple) or len(run) != 2:
        raise BadInput("llm.config: layers lists pairs of how often and which kind")
    times, which = _count(run[0], "layers"), _count(run[1], "layers")
    if not 1 <= times <= MOST_LAYERS or which >= len(kinds):
        raise BadInput(f"llm.config: layers: {times} times kind {which} of {len(kinds)}")
    return [kinds[which]] * times


def _list(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_LAYERS:
        raise BadInput(f"llm.config: {where} must be a list of 1 to {MOST_LAYERS} entries")
    return value


def _notes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_LAYERS:
        raise BadInput("llm.config: notes must be a list of texts")
    return tuple(_text(note, "notes") for note in value)


def _texts(value: object, where: str) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise BadInput(f"llm.config: {where} must be a mapping")
    return {_text(key, where): _text(entry, f"{where}.{key}") for key, entry in value.items()}


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise BadInput(f"llm.config: {where} must be a short text")
    return value


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise BadInput(f"llm.config: {where} is {str(value)[:40]!r}; it must be a whole number of at least 0")
    return value


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"llm.config: {where} must be true or false")
    return value
