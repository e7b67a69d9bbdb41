"""Measured runs counted by what they had, as plans ask for it (:mod:`solver.cost.support`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import topologies
from solver.cost.support import RunKind, family, main_format, shape
from solver.llm import LLM
from solver.replica import Setup
from solver.study.fidelity.runs import MeasuredRun, Runs, served_llm


def counted(files: Sequence[Runs]) -> dict[str, Any]:
    """The content of a file that :func:`solver.cost.support.packaged_tally` reads.

    A configuration counts once however often it was repeated.
    """
    found: dict[tuple[Any, ...], RunKind] = {}
    seen: set[tuple[object, ...]] = set()
    for run in (run for file in files for run in file.runs):
        if run.configuration in seen:
            continue
        seen.add(run.configuration)
        for kind in _kinds(run):
            key = dataclasses.astuple(kind)[:-5]
            found[key] = _merged(found[key], kind) if key in found else kind
    return {
        "sources": [file.source.rsplit("/", 1)[-1] for file in files],
        "fields": [field.name for field in dataclasses.fields(RunKind)],
        "runs": [list(dataclasses.astuple(kind)) for kind in sorted(found.values())],
    }


def _merged(one: RunKind, other: RunKind) -> RunKind:
    return dataclasses.replace(
        one,
        runs=one.runs + other.runs,
        least_batch=min(one.least_batch, other.least_batch),
        most_batch=max(one.most_batch, other.most_batch),
        shortest=min(one.shortest, other.shortest),
        longest=max(one.longest, other.longest),
    )


def _kinds(run: MeasuredRun) -> Iterator[RunKind]:
    """What a run says of a unified replica, or of a prefill and a decode replica."""
    llm, device = served_llm(run.llm, run.precision, run.engine, run.device, run.kv_cache), topologies.device(run.device)
    drafts = -1 if run.draft_tokens == "auto" else run.draft_tokens
    if run.disaggregated:
        sides = run.pool_setups(llm, device)
        replicas = (run.prefill_replicas, run.decode_replicas)
    else:
        sides, replicas = (run.setup(llm),), (1,)  # type: ignore[assignment]
    for setup, count in zip(sides, replicas, strict=True):
        yield _kind(run, llm, device, setup, count, drafts)


def _kind(run: MeasuredRun, llm: LLM, device: topologies.Device, setup: Setup, count: int, drafts: int) -> RunKind:
    degrees = setup.parallelism
    domains = max(-(-degrees.ranks_per_stage // device.scale_up_domain), 1)
    batch = float(f"{run.concurrency / (count * degrees.dp):.4g}")
    return RunKind(
        run.engine, shape(llm), family(llm), device.name, device.generation, main_format(llm), setup.role, degrees.tp,
        degrees.pp, degrees.dp, degrees.ep, degrees.moe_tp, domains, drafts, 1, batch, batch, run.prompt_tokens,
        run.prompt_tokens,
    )  # fmt: skip
