"""A pipeline in words and as a drawing: layers from left to right, a line for each run of layers and type of machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from solver.pipelines.machines import SINK, SOURCE
from solver.pipelines.plan import RequestPipeline

COLUMNS = 48
"""Width of the drawing of all layers."""
PROVEN = 1e-5
"""Gaps below this count as a proof."""
NAMED = 6
"""Machines of a line that are named."""


def describe(plan: RequestPipeline) -> str:
    """What flows, what proves that no more can, how long a token takes, and who holds which layers."""
    return "\n".join([*_answer(plan), "", *draw(plan), *_idle(plan)])


def describe_curve(curve: Sequence[RequestPipeline]) -> str:
    """Flow and latency of every depth, deepest first."""
    lines = ["stages   tokens/s   of the most   s/token   sequences in flight"]
    lines += [
        f"{plan.depth:6}{plan.tokens_per_s:11.1f}{plan.tokens_per_s / curve[0].tokens_per_s:14.0%}"
        f"{plan.token_latency_s:10.3f}{plan.resident_sequences:22.1f}"
        for plan in curve
    ]
    return "\n".join(lines)


def draw(plan: RequestPipeline) -> list[str]:
    """Layers from left to right; a line is a run of layers held by machines of one type.

    >>> from solver.pipelines import UnlikeMachines, flow_through
    >>> fleet = UnlikeMachines.connected(4, ["a", "b", "b"], {"a": {2: 9.0}, "b": {1: 20.0, 2: 5.0}})
    >>> print("\\n".join(line.rstrip() for line in draw(flow_through(fleet, {0: (0, 2), 1: (2, 4), 2: (2, 4)}))))
    layers  0                                              3  machines     tokens/s  most
    0-1     ████████████████████████                          1 x a: 0          9.0   9.0
    2-3                             ████████████████████████  2 x b: 1, 2       9.0  10.0
    """
    fleet = plan.fleet
    lines = [("layers", _axis(fleet.layers), "machines", "tokens/s", "most")]
    for (first, end, kind), machines in _alike(plan).items():
        served = sum(plan.through.get(machine, 0.0) for machine in machines)
        most = fleet.rate(machines[0], end - first) * len(machines)
        held = str(first) if end - first == 1 else f"{first}-{end - 1}"
        named = f"{len(machines)} x {kind}: {_names(machines)}"
        lines.append((held, _bar(first, end, fleet.layers), named, f"{served:.1f}", f"{most:.1f}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        f"{held:{widths[0]}}  {bar}  {named:{widths[2]}}  {served:>{widths[3]}}  {most:>{widths[4]}}"
        for held, bar, named, served, most in lines
    ]


def _answer(plan: RequestPipeline) -> list[str]:
    proof = (
        "no placement has more" if plan.gap < PROVEN else f"no placement exceeds {plan.bound:.1f} (gap {plan.gap:.2%})"
    )
    lines = [
        f"{plan.tokens_per_s:.1f} tokens/s through {plan.depth} stages ({plan.mean_depth:.1f} on average): {proof}"
    ]
    lines.append(
        f"a token takes {plan.token_latency_s:.3f} s, {plan.slowest_token_latency_s:.3f} s on the slowest path; "
        f"{plan.resident_sequences:.1f} sequences are in flight"
    )
    if plan.served_tokens_per_s < plan.tokens_per_s * (1 - PROVEN):
        lines.append(f"the KV caches have room for {plan.served_tokens_per_s:.1f} tokens/s of that")
    (start, end), share = max(
        ((link, flow / plan.fleet.links[link].tokens_per_s) for link, flow in plan.flows.items()),
        key=lambda item: item[1],
    )
    ends = {SOURCE: "source", SINK: "sink"}
    lines.append(f"fullest link: {ends.get(start, start)} -> {ends.get(end, end)}, {share:.1%} full")
    return lines


def _idle(plan: RequestPipeline) -> list[str]:
    """Machines that no token passes."""
    idle = [machine for machine in range(len(plan.fleet.kinds)) if machine not in plan.through]
    if not idle:
        return []
    return ["", f"{len(idle)} of {len(plan.fleet.kinds)} machines are not needed: {_names(idle)}"]


def _alike(plan: RequestPipeline) -> dict[tuple[int, int, str], list[int]]:
    """Machines that tokens pass, by run of layers and type, in the order of layers."""
    alike: dict[tuple[int, int, str], list[int]] = defaultdict(list)
    for machine in sorted(plan.through, key=lambda m: (plan.runs[m], plan.fleet.kinds[m], m)):
        alike[*plan.runs[machine], plan.fleet.kinds[machine]].append(machine)
    return alike


def _names(machines: Sequence[int]) -> str:
    more = f", {len(machines) - NAMED} more" if len(machines) > NAMED else ""
    return ", ".join(map(str, machines[:NAMED])) + more


def _axis(layers: int) -> str:
    last = str(layers - 1)
    return f"0{last:>{COLUMNS - 1}}" if layers > 1 else f"{0:<{COLUMNS}}"


def _bar(first: int, end: int, layers: int) -> str:
    """A run of layers on the axis, one column long at least."""
    start = min(first * COLUMNS // layers, COLUMNS - 1)
    length = max(end * COLUMNS // layers - start, 1)
    return (" " * start + "█" * length).ljust(COLUMNS)
