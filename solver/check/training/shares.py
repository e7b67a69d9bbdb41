"""How the work is shared: degrees, batches, layers, policies, and what the framework has."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from solver.check.training.evidence import TrainingEvidence


def degrees_divide(evidence: TrainingEvidence) -> Iterator[str]:
    """Tensor ranks divide heads and a domain, context ranks the sequence, expert ranks the experts: each expert lies on one
    rank of a group."""
    plan, layout, network = evidence.plan, evidence.layout, evidence.instance.network
    if network.heads % layout.tp:
        yield f"tp {layout.tp} does not divide the {network.heads} heads of {network.name}"
    if plan.domain % layout.tp:
        yield f"tp {layout.tp} does not divide scale-up domains of {plan.domain} devices"
    if layout.cp > 1 and plan.scenario.training.sequence_tokens % (2 * layout.cp):
        yield f"cp {layout.cp} does not cut {plan.scenario.training.sequence_tokens} tokens into twice as many parts"
    if layout.ep > 1 and (not network.experts or network.experts % layout.ep):
        yield f"ep {layout.ep} does not divide the {network.experts} experts of {network.name}"
    if layout.stage % layout.ep:
        yield f"ep {layout.ep} does not divide the {layout.stage} ranks that have the same layers"


def batch_is_shared(evidence: TrainingEvidence) -> Iterator[str]:
    """Copies and micro-batches divide the global batch, and are counted right."""
    plan, layout = evidence.plan, evidence.layout
    batch = plan.scenario.training.global_batch_sequences
    if batch % (layout.dp * layout.micro_batch):
        yield f"dp {layout.dp} with micro-batches of {layout.micro_batch} does not divide {batch} sequences"
    elif plan.micro_batches != batch // (layout.dp * layout.micro_batch):
        right = batch // (layout.dp * layout.micro_batch)
        yield f"a copy has {right} micro-batches a step; the plan says {plan.micro_batches}"


def pins_hold(evidence: TrainingEvidence) -> Iterator[str]:
    """What the scenario pins is as it says."""
    degrees = evidence.plan.degrees
    for name, pinned in evidence.plan.scenario.layout.model_dump().items():
        if pinned is not None and pinned != getattr(degrees, name):
            yield f"layout.{name} is pinned to {pinned}; the plan has {getattr(degrees, name)}"


def schedule_can_run(evidence: TrainingEvidence) -> Iterator[str]:
    """The schedule works with so many devices, micro-batches and layers; what runs beside it has work to hide behind."""
    plan, layout = evidence.plan, evidence.layout
    layers = len(evidence.instance.network.layers)
    if not layout.schedule.legal(layout.pp, plan.micro_batches, layers):
        yield f"{layout.schedule} cannot run {plan.micro_batches} micro-batches of {layers} layers on {layout.pp} devices"
    if len(plan.stages) != layout.pp:
        yield f"pp is {layout.pp}; the plan has {len(plan.stages)} stages"
    if layout.overlap and layout.pp > 1 and layout.schedule.kind != "interleaved" and not layout.schedule.folded:
        yield f"{layout.schedule} has no second micro-batch at hand behind which an exchange of tokens could hide"


def every_layer_once(evidence: TrainingEvidence) -> Iterator[str]:
    """Each layer is in one part, parts follow each other as the schedule passes them, and no device has more than it can."""
    layers = len(evidence.instance.network.layers)
    held: Counter[int] = Counter()
    for stage in evidence.plan.stages:
        for first, last in stage.parts:
            if not first <= last < layers:
                yield f"a part goes from layer {first} to {last}; there are {layers}"
                return
            held.update(range(first, last + 1))
    for layer in range(layers):
        if held[layer] != _copies(evidence):
            yield f"layer {layer} is held {held[layer]} times in a pipeline, not {_copies(evidence)}"
            return
    yield from _in_order(evidence)


def _copies(evidence: TrainingEvidence) -> int:
    return evidence.layout.schedule.copies


def _in_order(evidence: TrainingEvidence) -> Iterator[str]:
    """Parts in the order in which a micro-batch meets them are layers in their order."""
    stages, schedule = evidence.plan.stages, evidence.layout.schedule
    if schedule.folded:
        half = stages if schedule.copies == 1 else stages[: len(stages) // 2]
        passed = [stage.parts[0] for stage in half] + [stage.parts[-1] for stage in reversed(half)]
        if any(len(stage.parts) != 2 for stage in stages):
            yield f"{schedule} gives each device two parts"
        if schedule.copies == 2 and any(a.parts != b.parts for a, b in zip(stages, reversed(stages), strict=True)):
            yield "devices that mirror each other hold different parts"
    else:
        if any(len(stage.parts) > schedule.chunks for stage in stages):
            yield f"{schedule} gives a device at most {schedule.chunks} parts"
        passed = _met(evidence) if schedule.chunks > 1 else [part for stage in stages for part in stage.parts]
    if any(after[0] != before[1] + 1 for before, after in itertools.pairwise(passed)):
        yield "a micro-batch does not meet the layers in their order"


def _met(evidence: TrainingEvidence) -> list[tuple[int, int]]:
    """Parts of interleaved chunks in the order of a micro-batch; a chunk with the embedding or the head alone has none."""
    stages, chunks = evidence.plan.stages, evidence.layout.schedule.chunks
    columns = []
    for number, stage in enumerate(stages):
        missing = [(-1, -1)] * (chunks - len(stage.parts))
        columns.append([*missing, *stage.parts] if number == 0 else [*stage.parts, *missing])
    rows = [column[chunk] for chunk in range(chunks) for column in columns]
    return [part for part in rows if part != (-1, -1)]


def policies_cover_layers(evidence: TrainingEvidence) -> Iterator[str]:
    """Each layer of a stage has one activation policy, and no other layer has one."""
    for number, stage in enumerate(evidence.plan.stages):
        layers = {layer for first, last in stage.parts for layer in range(first, last + 1)}
        named = [layer for run in stage.policies for layer in range(run.layers[0], min(run.layers[1], 10**6) + 1)]
        if sorted(named) != sorted(layers):
            yield f"the policies of stage {number} do not name each of its layers once"
            return


def framework_has_it(evidence: TrainingEvidence) -> Iterator[str]:
    """The layout leans on nothing that its framework lacks, and layers are reversed in reversible networks alone."""
    used = {run.policy for stage in evidence.plan.stages for run in stage.policies}
    yield from evidence.instance.framework.missing(evidence.layout, used)
    if "reversible" in used and not evidence.plan.scenario.training.reversible:
        yield "layers are reversed in a network that is not reversible"
