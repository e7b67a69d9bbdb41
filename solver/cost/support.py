"""What a price rests on: the mechanisms of a replica, and how many measured runs had each.

The packaged tally counts serving runs by what they had (`rackplan fidelity DATA --tally` writes one); plans say where
nothing was measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from solver.llm import LLM
from solver.replica import Role, Setup
from solver.workload import RequestClass
from topologies import Device


@dataclass(frozen=True, order=True)
class RunKind:
    """Measured runs that had the same, and how many they are.

    Attributes
    ----------
    shape: of the LLM (:func:`shape`); family: its kind (:func:`family`); weights: number format of most of its weights.
    role: ``unified``, or the role in a disaggregated deployment, whose run counts once for each.
    domains: scale-up domains of a stage; drafts: tokens drafted a step, -1 where only that some were is known.
    least_batch, most_batch: requests in flight for each attention rank; shortest, longest: mean prompts [tokens].
    """

    engine: str
    shape: str
    family: str
    device: str
    generation: str
    weights: str
    role: Role
    tp: int
    pp: int
    dp: int
    ep: int
    moe_tp: int
    domains: int
    drafts: int
    runs: int
    least_batch: float
    most_batch: float
    shortest: float
    longest: float


@dataclass(frozen=True)
class Support:
    """One mechanism of a replica.

    Attributes
    ----------
    mechanism: in the words of the field.
    runs: measured runs that had it under any engine; engine_runs: under this one.
    """

    mechanism: str
    runs: int
    engine_runs: int

    def __str__(self) -> str:
        if not self.runs:
            return f"{self.mechanism}: no measured run"
        if not self.engine_runs:
            return f"{self.mechanism}: {self.runs} runs, none with this engine"
        return f"{self.mechanism}: {self.engine_runs} runs"


def family(llm: LLM) -> str:
    """Kind of attention and FFN: ``dense``, ``experts``, ``experts with latent attention``, ...

    >>> family(LLM.from_config("deepseek-v3")), family(LLM.from_config("llama-3.1-8b"))
    ('experts with latent attention', 'dense')
    """
    kinds = {layer.attention.kind for layer, _ in llm.layer_kinds if layer.attention.heads}
    parts = [
        word
        for kind, word in (("mla", "latent"), ("linear", "recurrent"), ("sliding", "windowed"), ("compressed", "compressed"))
        if kind in kinds
    ]
    return ("experts" if llm.experts else "dense") + (f" with {' and '.join(parts)} attention" if parts else "")


def shape(llm: LLM) -> str:
    """What LLMs of one architecture and size share, whatever their weights were trained on: width, layers, experts, top-k.

    >>> shape(LLM.from_config("llama-3.1-70b-fp8")) == shape(LLM.from_config("llama-3.1-70b"))
    True
    """
    return f"{llm.hidden} x {len(llm.layers)}" + (f", {llm.experts} experts, top {llm.top_k}" if llm.experts else "")


def main_format(llm: LLM) -> str:
    """Number format of most weights, without the size of its blocks."""
    return (llm.precision.experts if llm.experts else llm.precision.dense).name.split("_")[0]


@cache
def packaged_tally() -> tuple[RunKind, ...]:
    """The runs that the packaged calibrations were fitted to or judged by."""
    content = json.loads(files(__package__).joinpath("measured_runs.json").read_text(encoding="utf-8"))
    names = [field.name for field in fields(RunKind)]
    return tuple(RunKind(**dict(zip(names, row, strict=True))) for row in content["runs"])


def support(
    setup: Setup, llm: LLM, device: Device, batch: float, prompt_tokens: float, idle_kv: bool
) -> tuple[Support, ...]:
    """Every mechanism that the price of a replica rests on, with the runs that had it.

    Parameters
    ----------
    batch: mean running sequences of an attention rank.
    prompt_tokens: mean length of prompts.
    idle_kv: whether KV waits between turns outside of HBM.
    """
    tally = packaged_tally()
    found = []
    for mechanism, kinds in _mechanisms(setup, llm, device, batch, prompt_tokens, tally):
        runs = sum(kind.runs for kind in kinds)
        found.append(Support(mechanism, runs, sum(kind.runs for kind in kinds if kind.engine == setup.engine)))
    return (*found, Support("KV that waits between turns", 0, 0)) if idle_kv else tuple(found)


def mean_prompt(classes: Sequence[RequestClass]) -> float:
    """Mean length of the prompts that arrive [tokens]."""
    arriving = math.fsum(c.requests_per_s for c in classes)
    return math.fsum(c.prompt_tokens * c.requests_per_s for c in classes) / arriving


def _mechanisms(
    setup: Setup, llm: LLM, device: Device, batch: float, prompt: float, tally: tuple[RunKind, ...]
) -> Iterator[tuple[str, list[RunKind]]]:
    """Mechanisms with the kinds of runs that had each."""
    kind, weights = family(llm), main_format(llm)
    yield setup.engine, [k for k in tally if k.engine == setup.engine]
    yield llm.name, [k for k in tally if k.shape == shape(llm)]
    yield f"{kind} on {device.generation}", [
        k for k in tally if (k.family, k.generation) == (kind, device.generation)
    ]
    yield device.name, [k for k in tally if k.device == device.name]
    yield f"{weights} weights on {device.generation}", [
        k for k in tally if (k.weights, k.generation) == (weights, device.generation)
    ]
    if setup.role != "unified":
        yield "hand-over between pools", [k for k in tally if k.role == setup.role]
    yield from _structure(_Form.of(setup), tally)
    yield f"{batch:.3g} sequences a rank", [k for k in tally if k.least_batch <= batch <= k.most_batch]
    yield f"prompts of {prompt:,.0f} tokens", [k for k in tally if k.shortest / 1.5 <= prompt <= k.longest * 1.5]


def untried(setup: Setup) -> tuple[str, ...]:
    """Mechanisms that a replica has by its structure alone and no measured run had, under any engine.

    >>> from solver.replica import Parallelism
    >>> untried(Setup("prefill", "vllm", Parallelism(tp=2))), untried(Setup("prefill", "vllm", Parallelism(pp=4)))
    ((), ('pipelined prefill',))
    """
    return _untried(_Form.of(setup))


class _Form(NamedTuple):
    """Which mechanisms a setup has: all that its structure depends on, the same for thousands of setups."""

    role: Role
    tp: bool
    pp: bool
    dp: bool
    ep: bool
    moe_tp: bool
    cp: bool
    exchange_domains: int
    tensor_apart: bool
    drafts: bool
    overlap: bool

    @classmethod
    def of(cls, setup: Setup) -> _Form:
        """The form of a setup."""
        degrees = setup.parallelism
        several = (degrees.tp > 1, degrees.pp > 1, degrees.dp > 1, degrees.ep > 1, degrees.moe_tp > 1, degrees.cp > 1)
        apart, drafts = setup.tensor_domains > 1, bool(setup.draft_tokens)
        return cls(setup.role, *several, setup.exchange_domains, apart, drafts, setup.overlap)


@cache
def _untried(form: _Form) -> tuple[str, ...]:
    """The same by all that it depends on."""
    return tuple(name for name, kinds in _structure(form, packaged_tally()) if not kinds)


def _structure(form: _Form, tally: tuple[RunKind, ...]) -> Iterator[tuple[str, list[RunKind]]]:
    """Mechanisms that a setup has by itself, whatever it serves and on which device."""
    role = {"prefill": "prefill", "decode": "decode", "unified": "serving"}[form.role]
    if form.tp:
        yield "tensor parallelism", [k for k in tally if k.tp > 1]
    if form.pp:
        yield f"pipelined {role}", [k for k in tally if k.pp > 1 and k.role == form.role]
    if form.dp:
        yield "attention data parallelism", [k for k in tally if k.dp > 1]
    if form.ep and form.moe_tp:
        yield "experts spread and cut", [k for k in tally if k.ep > 1 and k.moe_tp > 1]
    elif form.ep:
        yield "expert parallelism", [k for k in tally if k.ep > 1 and k.moe_tp == 1]
    elif form.moe_tp:
        yield "experts cut over ranks", [k for k in tally if k.ep == 1 and k.moe_tp > 1]
    if form.ep and form.exchange_domains > 1:
        across = [k for k in tally if k.ep > 1 and k.domains > 1]
        yield f"experts across {form.exchange_domains} domains", across
    if form.tensor_apart:
        yield "tensor parallelism across domains", [k for k in tally if k.tp > 1 and k.ep == 1 and k.domains > 1]
    if form.cp:
        yield "decode context parallelism", []
    if form.drafts:
        yield "speculative decoding", [k for k in tally if k.drafts]
    if form.overlap:
        yield "overlapped half-batches", []
