"""An answer as lines for people and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from solver.experts.arrays import Floats
from solver.experts.report.answer import Nodes, PlacementReport


def to_json(answer: PlacementReport) -> dict[str, Any]:
    """Everything, with one entry for each MoE layer."""
    placement, loads, grid = answer.placement, answer.loads, answer.question.grid
    final = answer.map.imbalance(loads)
    layers = [
        {
            "layer": layer,
            "imbalance": dict(zip(loads.names, placement.imbalance[:, at].tolist(), strict=True)),
            "objective": float(placement.objective[at]),
            "bound": float(placement.bound[at]),
            "gap": float(placement.gap[at]),
            "proof": dict(zip(loads.names, (p.reason for p in placement.certificates[at]), strict=True)),
        }
        for at, layer in enumerate(loads.moe_layers)
    ]
    return {
        "ranks": grid.ranks,
        "slots_per_rank": grid.slots,
        "experts": loads.experts,
        "redundant_slots": grid.places - loads.experts,
        "profiles": dict(zip(loads.names, loads.weights.tolist(), strict=True)),
        "dense_layers": list(loads.dense_layers),
        "objective": _spread(placement.objective),
        "bound": _spread(placement.bound),
        "gap": _spread(placement.gap),
        "layers": layers,
        "map_imbalance": dict(zip(loads.names, final.mean(axis=1).tolist(), strict=True)),
        "drift": _drift_json(answer),
        "nodes": None if answer.nodes is None else _nodes_json(answer.nodes),
        "rebalanced": _rebalanced_json(answer),
    }


def describe(answer: PlacementReport) -> str:
    """A page for people."""
    return "\n".join([*_placement_lines(answer), *_drift_lines(answer), *_node_lines(answer), *_moved_lines(answer)])


def _spread(values: Floats) -> dict[str, float]:
    return {"mean": float(values.mean()), "worst": float(values.max())}


def _placement_lines(answer: PlacementReport) -> list[str]:
    placement, loads, grid = answer.placement, answer.loads, answer.question.grid
    worst = int(placement.gap.argmax())
    lines = [
        f"{loads.experts} experts in {len(loads.moe_layers)} MoE layers on {grid.ranks} ranks x {grid.slots} slots "
        f"({grid.places - loads.experts} redundant)",
        f"{'hottest / mean rank':24}{'mean':>9}{'median':>9}{'worst layer':>13}",
    ]
    rows: list[tuple[str, Floats]] = list(zip(loads.names, placement.imbalance, strict=True))
    if loads.profiles > 1:
        rows.append(("weighted mean", placement.objective))
    rows.append(("proven bound", placement.bound))
    for name, values in rows:
        lines.append(f"{name[:23]:24}{values.mean():9.4f}{np.median(values):9.4f}{values.max():13.4f}")
    gap = placement.gap
    lines.append(f"{'gap to the bound':24}{gap.mean():9.2%}{np.median(gap):9.2%}{gap.max():13.2%}")
    proofs = [proof.reason for layer in placement.certificates for proof in layer]
    counted = ", ".join(f"{reason} {proofs.count(reason)}" for reason in dict.fromkeys(proofs))
    lines.append(f"widest gap in layer {loads.moe_layers[worst]}; bounds by {counted}")
    if loads.dense_layers:
        lines.append(f"without experts: layers {', '.join(map(str, loads.dense_layers))}")
    return lines


def _drift_json(answer: PlacementReport) -> dict[str, Any] | None:
    drift = answer.drift
    if drift is None:
        return None
    names = drift.names
    return {
        "placed_for": {
            row: dict(zip(names, values.tolist(), strict=True)) for row, values in zip(names, drift.matrix, strict=True)
        },
        "placed_for_all": dict(zip(names, drift.together.tolist(), strict=True)),
        "left_out": dict(zip(names, drift.left_out.tolist(), strict=True)) if drift.left_out.size else None,
    }


def _drift_lines(answer: PlacementReport) -> list[str]:
    drift = answer.drift
    if drift is None:
        return []
    keys = [f"[{number}]" for number in range(len(drift.names))]
    wide = max(len(name) for name in drift.names) + 4
    lines = ["", "drift: placed for the row, run on the column (hottest / mean rank, mean over layers)"]
    lines.append(" " * (wide + 1) + "".join(f"{key:>8}" for key in keys))
    rows = [(f"{key} {name}", values) for key, name, values in zip(keys, drift.names, drift.matrix, strict=True)]
    rows.append(("all profiles", drift.together))
    if drift.left_out.size:
        rows.append(("all but the column", drift.left_out))
    return lines + [f"{name:{wide + 1}}" + "".join(f"{value:8.3f}" for value in values) for name, values in rows]


def _points(nodes: Nodes) -> list[dict[str, float | None]]:
    best = nodes.curve.pareto().mean(axis=1)
    return [
        {
            "slack": slack if np.isfinite(slack) else None,
            "imbalance": float(point.imbalance.mean()),
            "off_node": float(point.far_share.mean()),
            "off_node_bound": float(point.far_bound.mean()),
            "undominated_layers": float(undominated),
        }
        for point, slack, undominated in zip(nodes.curve.points, nodes.curve.slacks, best, strict=True)
    ]


def _nodes_json(nodes: Nodes) -> dict[str, Any]:
    chosen = nodes.chosen
    found = None if chosen is None else {"imbalance": _spread(chosen.imbalance), "off_node": _spread(chosen.far_share)}
    return {"points": _points(nodes), "chosen": found}


def _node_lines(answer: PlacementReport) -> list[str]:
    if answer.nodes is None:
        return []
    grid = answer.question.grid
    lines = [
        "",
        f"{grid.nodes} nodes of {grid.ranks_per_node} ranks: balance against tokens served off their home node",
    ]
    lines.append(f"{'node slack':>12}{'imbalance':>11}{'off node':>10}{'at least':>10}{'undominated':>13}")
    for point in _points(answer.nodes):
        slack = "none" if point["slack"] is None else f"{point['slack']:.0%}"
        lines.append(
            f"{slack:>12}{point['imbalance']:11.4f}{point['off_node']:10.2%}{point['off_node_bound']:10.2%}"
            f"{point['undominated_layers']:13.0%}"
        )
    chosen = answer.nodes.chosen
    if chosen is not None:
        lines.append(
            f"chosen within {answer.question.most_off_node:.2%}: imbalance {chosen.imbalance.mean():.4f}, "
            f"{chosen.far_share.mean():.2%} off node"
        )
    return lines


def _rebalanced_json(answer: PlacementReport) -> dict[str, Any] | None:
    moved = answer.rebalanced
    if moved is None:
        return None
    copies, size = int(moved.moved_copies.sum()), answer.question.budget.expert_bytes
    return {
        "budget_copies": answer.budget_copies,
        "moved_copies": copies,
        "moved_bytes": None if size is None else copies * size,
        "before": _spread(moved.before),
        "after": _spread(moved.after),
        "recovered": answer.recovered,
    }


def _moved_lines(answer: PlacementReport) -> list[str]:
    moved = answer.rebalanced
    if moved is None:
        return []
    copies, size = int(moved.moved_copies.sum()), answer.question.budget.expert_bytes
    sent = "" if size is None else f" ({copies * size / 1e9:.3g} GB)"
    gained = "nothing was lost" if answer.recovered is None else f"{answer.recovered:.0%} of what was lost is back"
    return [
        "",
        f"re-balanced: {copies} of {moved.map.slots.size} copies are sent{sent}, {answer.budget_copies} were allowed; "
        f"hottest / mean rank {moved.before.mean():.4f} -> {moved.after.mean():.4f}; {gained}",
    ]
