"""What a plan claims, from a layout whose layers are dealt: the one place where predictions are put together.

The search and the witness both come here with what they know: costs, and for every device of the pipeline its parts and
the policy of each layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from solver.training.activations import Policy
from solver.training.plan import RankLedger, StepPrediction
from solver.training.stages import StageCosts, State

#: The policy of each of a device's layers.
Policies = Mapping[int, Policy]


def stage_ends(costs: StageCosts, device: int) -> tuple[bool, bool]:
    """Whether a device of the pipeline has the embedding, and the head; folded schedules bring both ends together."""
    stages, schedule = costs.layout.pp, costs.layout.schedule
    if schedule.folded:
        both = device == 0 or (schedule.copies == 2 and device == stages - 1)
        return both, both
    return device == 0, device == stages - 1


def micro_batch_s(costs: StageCosts, device: int, layers: Policies) -> float:
    """Seconds that a device works on one micro-batch; with two copies of the network it meets half of its layers."""
    _, last = stage_ends(costs, device)
    seconds = sum(costs.layer_s[costs.kind_of[layer]][policy] for layer, policy in layers.items())
    return (seconds + costs.fixed_s(last)) / costs.layout.schedule.copies


def rank_ledger(costs: StageCosts, device: int, layers: Policies) -> RankLedger:
    """HBM of every rank of a device of the pipeline."""
    first, last = stage_ends(costs, device)
    state = costs.fixed_state(first, last)
    for layer in layers:
        state = State.sum(state, costs.layer_state[costs.kind_of[layer]])
    kept = sum(costs.kept[costs.kind_of[layer]][policy] for layer, policy in layers.items())
    used = set(layers.values())
    kept += costs.boundary_bytes * ("reversible" in used)
    return RankLedger(
        weights_bytes=state.weights,
        gradients_bytes=state.gradients,
        optimiser_bytes=state.optimiser,
        activations_bytes=costs.held(device) * kept,
        working_bytes=costs.working_bytes(bool(used & {"full", "reversible"})),
        head_bytes=costs.fixed_kept_bytes(last),
        capacity_bytes=costs.machine.room_bytes,
    )


def prediction(costs: StageCosts, device_s: Sequence[float]) -> StepPrediction:
    """What a step takes, from seconds of a micro-batch on every device of the pipeline."""
    job, layout = costs.job, costs.layout
    step = costs.iteration_s(device_s)
    peak = layout.devices * costs.machine.device.flops["bf16"]

    def mfu(causal: bool) -> float:
        return costs.network.flop_per_token(job.sequence_tokens, causal) * job.tokens_per_step / (step * peak)

    return StepPrediction(
        step_s=step,
        tokens_per_s=job.tokens_per_step / step,
        mfu_causal=mfu(True),
        mfu_full=mfu(False),
        bubble_s=step - costs.step_s - costs.micro_batches * max(device_s),
        outside_s=costs.step_s,
        days=job.total_tokens / job.tokens_per_step * step / 86400,
    )
