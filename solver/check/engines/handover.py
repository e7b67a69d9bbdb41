"""Whether a connector hands KV caches over from a prefill to a decode replica."""

from __future__ import annotations

from collections.abc import Iterator

from solver.check.engines.asked import Asked
from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

#: Connectors that each engine has.
CONNECTORS = {
    "vllm": ("NixlConnector", "MooncakeConnector", "NixlPushConnector"),
    "sglang": ("nixl", "mooncake"),
    "trtllm": ("NIXL", "UCX"),
    "ideal": ("any",),
}


def refusals(llm: LLM, devices: tuple[Device, Device], prefill: Setup, decode: Setup, connector: str) -> Iterator[str]:
    """Every reason for which a hand-over would fail.

    Parameters
    ----------
    devices: of the prefill and of the decode replica.
    """
    sides = Asked(llm, devices[0], prefill), Asked(llm, devices[1], decode)
    match prefill.engine:
        case "vllm":
            yield from _vllm(*sides, connector)
        case "sglang":
            yield from _sglang(*sides)
        case "trtllm":
            yield from _trtllm(*sides)


def _uneven(prefill: Asked, decode: Asked) -> Iterator[str]:
    p, d = prefill.degrees.tp, decode.degrees.tp
    if p % d and d % p:
        yield f"tp {p} and tp {d} do not divide each other"


def _vllm(prefill: Asked, decode: Asked, connector: str) -> Iterator[str]:
    p, d = prefill.degrees, decode.degrees
    yield from _uneven(prefill, decode)
    if p.tp != d.tp and prefill.llm.precision.kv_cache.name == "nvfp4":
        yield f"an NVFP4 cache is not re-cut from tp {p.tp} to tp {d.tp}"
    if bool(prefill.setup.draft_tokens) != bool(decode.setup.draft_tokens):
        yield "one side drafts and the other does not"
    for side in (prefill, decode):
        degrees = side.degrees
        if connector == "MooncakeConnector" and degrees.cp > 1:
            yield f"{connector} hands over no context parallelism (cp {degrees.cp})"
        if connector != "MooncakeConnector" and degrees.cp > 1 and not (side.latent and degrees.cp == degrees.tp):
            yield f"{connector} hands over context parallelism of MLA over all of tp {degrees.tp} alone, not cp {degrees.cp}"
    if connector == "NixlConnector":
        if p.pp > 1 or d.pp > 1:
            yield f"{connector} knows no pipeline stages (pp {p.pp} and {d.pp})"
        if not prefill.latent and p.tp > max(d.tp, min(prefill.cached_heads, default=1)):
            yield f"copies of KV heads (tp {p.tp}) do not go to a smaller tp {d.tp}"
        if prefill.recurrent and p.tp != d.tp:
            yield f"state of recurrent layers goes to equal tp, not from {p.tp} to {d.tp}"
    elif connector == "MooncakeConnector":
        if prefill.compressed or prefill.recurrent:
            yield f"{connector} hands over neither packed rows nor states of recurrent layers"
    elif connector == "NixlPushConnector":
        if d.pp > 1 or (p.pp > 1 and prefill.recurrent):
            yield f"{connector} takes no decode stages, and no state from stages (pp {p.pp} and {d.pp})"
        if prefill.compressed and not prefill.latent:
            yield f"{connector} hands over packed rows of MLA alone"
        if p.pp > 1 and prefill.mixed_cache and not prefill.latent and d.tp > p.tp:
            yield f"a hybrid cache from {p.pp} stages goes to no larger tp ({p.tp} to {d.tp})"
        if prefill.recurrent and p.tp != d.tp:
            yield f"state of recurrent layers goes to equal tp, not from {p.tp} to {d.tp}"


def _sglang(prefill: Asked, decode: Asked) -> Iterator[str]:
    p, d = prefill.degrees, decode.degrees
    scaled = prefill.llm.precision.kv_cache.name == "nvfp4"
    if d.pp not in (1, p.pp):
        yield f"decode has pp {d.pp}; it must be 1 or prefill's {p.pp}"
    if not prefill.latent:
        yield from _uneven(prefill, decode)
        if max(p.cp, d.cp) > 1:
            yield f"context parallelism is handed over of MLA alone (cp {p.cp} and {d.cp})"
        if prefill.windows and p.tp != d.tp:
            yield f"sliding windows go to equal tp, not from {p.tp} to {d.tp}"
        if prefill.indexed and (p.tp != d.tp or p.pp > 1):
            yield f"selected attention over KV heads goes to equal tp without stages (tp {p.tp} to {d.tp}, pp {p.pp})"
    if p.tp != d.tp and (scaled or prefill.compressed):
        yield f"a block-scaled or compressed cache is not re-cut from tp {p.tp} to tp {d.tp}"
    if p.tp != d.tp and prefill.recurrent:
        yield f"state of recurrent layers goes to equal tp, not from {p.tp} to {d.tp}"


def _trtllm(prefill: Asked, decode: Asked) -> Iterator[str]:
    p, d = prefill.degrees, decode.degrees
    if max(p.cp, d.cp) > 1:
        yield f"its cache transceiver takes no context parallelism (cp {p.cp} and {d.cp})"
    if len(set(prefill.cached_heads)) > 1:
        yield "its cache transceiver needs equally many KV heads in all layers"
    if p.tp != d.tp and prefill.indexed:
        yield f"index keys are not re-cut from tp {p.tp} to tp {d.tp}"
