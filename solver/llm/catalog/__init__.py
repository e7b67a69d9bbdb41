"""LLMs by name, from the JSON files of this folder; read once, when the first name is asked for.

An entry has ``title``, ``aliases`` (Hugging Face ids and other names), ``hidden``, ``vocab``, ``max_context``,
``attention`` and ``ffn`` (shapes by label, as :data:`solver.llm.recurrent_shapes.SHAPES` and
:class:`solver.llm.ffn.FFN` take them), ``layers`` (runs of ``[repeat, [attention, ffn], ...]``), ``precision`` (dtype
by part; ``all`` = every linear part), ``encoder_bytes`` where measured, ``table_parameters`` where there are any, ``source``
and ``as_of``. ``like`` takes another entry's fields for those not given. ``unverified`` says what nobody has checked
against the owner's own files.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from solver.errors import UnknownName
from solver.llm.ffn import FFN
from solver.llm.network import LLM, Layer
from solver.llm.precision import LINEAR_PARTS, Precision
from solver.llm.recurrent_shapes import SHAPES

Entry = dict[str, Any]


def names() -> tuple[str, ...]:
    """Short names of all LLMs in the catalog, sorted."""
    return tuple(sorted(_entries()))


def find(name: str) -> LLM | None:
    """Return the LLM of this name or alias, whatever the letters' case; None if there is none."""
    short = _aliases().get(name.strip().lower())
    return None if short is None else _build(short)


def hugging_face_id(name: str) -> str | None:
    """Hugging Face id of the LLM of this name or alias: the alias itself where it is one, else the entry's first.

    >>> hugging_face_id("deepseek-v3"), hugging_face_id("deepseek-ai/DeepSeek-V3-0324")
    ('deepseek-ai/DeepSeek-V3', 'deepseek-ai/DeepSeek-V3-0324')
    """
    short = _aliases().get(name.strip().lower())
    ids = [alias for alias in _entries()[short].get("aliases", []) if "/" in alias] if short else []
    return next((alias for alias in ids if alias.lower() == name.strip().lower()), ids[0] if ids else None)


def unknown(name: str) -> UnknownName:
    """Return the error for a name that nothing has."""
    hint = "; a path to a Hugging Face config.json or to its folder works too"
    return UnknownName("LLM", name[:80], names(), hint)


@cache
def _entries() -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json"):
            entries |= json.loads(file.read_text(encoding="utf-8"))
    return {name: _inherited(name, entries) for name in entries}


def _inherited(name: str, entries: dict[str, Entry]) -> Entry:
    entry = entries[name]
    if "like" not in entry:
        return entry
    parent = {k: v for k, v in _inherited(entry["like"], entries).items() if k not in ("aliases", "unverified")}
    return parent | entry


@cache
def _aliases() -> dict[str, str]:
    aliases = {name: name for name in _entries()}
    for name, entry in _entries().items():
        aliases |= {alias.lower(): name for alias in entry.get("aliases", [])}
    return aliases


@cache
def _build(name: str) -> LLM:
    entry = _entries()[name]
    hidden = entry["hidden"]
    attention = {
        label: SHAPES[shape["shape"]](hidden=hidden, **{k: v for k, v in shape.items() if k != "shape"})
        for label, shape in entry["attention"].items()
    }
    ffn = {label: FFN(hidden, **shape) for label, shape in entry["ffn"].items()}
    kinds: dict[tuple[str, str], Layer] = {}
    layers: list[Layer] = []
    for repeat, *labels in entry["layers"]:
        run = [kinds.setdefault((a, f), Layer(attention[a], ffn[f])) for a, f in labels]
        layers.extend(run * repeat)
    return LLM(
        name=name,
        title=entry["title"],
        hidden=hidden,
        vocab=entry["vocab"],
        layers=tuple(layers),
        tied_embeddings=entry.get("tied_embeddings", False),
        mtp_layers=entry.get("mtp_layers", 0),
        table_parameters=entry.get("table_parameters", 0),
        encoder_bytes=float(entry.get("encoder_bytes", 0.0)),
        max_context=entry["max_context"],
        precision=_precision(entry.get("precision", {})),
        source=entry["source"],
        as_of=entry["as_of"],
        notes=(f"{name} is unverified: {entry['unverified']}",) if "unverified" in entry else (),
    )


def _precision(given: dict[str, str]) -> Precision:
    everywhere = dict.fromkeys(LINEAR_PARTS, given["all"]) if "all" in given else {}
    return Precision.from_names(everywhere | {part: name for part, name in given.items() if part != "all"})
