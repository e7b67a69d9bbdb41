"""Memory of the fullest rank as a waterfall, and of all stages as a table."""

from __future__ import annotations

from solver.training.summary import layers_in_words
from solver.view.amounts import percent
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, tag
from solver.view.palette import KINDS
from solver.view.sections.tables import table
from solver.view.training.stage_set import StageSet
from topologies.units import show_bytes, show_seconds

WIDTH, ROW, LABEL, FIGURE = 620, 24, 120, 80


def memory(scene: StageSet) -> Markup:
    """The fullest rank part by part, then every stage."""
    plan = scene.plan
    name = f"Memory of a rank of stage {plan.fullest}, the fullest"
    return tag(
        "section",
        tag("h2", "What fills the memory"),
        tag("p", name, class_="hint"),
        tag("div", waterfall(scene).svg(role="img", aria_label=name), class_="scroll", tabindex=0),
        table(
            ("stage", "layers", "policy", "micro-batch", "weights", "gradients", "optimiser", "activations", "of HBM"),
            (_row(scene, number) for number in range(len(plan.stages))),
            "A rank of every stage",
        ),
        id="memory",
    )


def waterfall(scene: StageSet) -> Drawn:
    """Each part starts where the one before it ends; the last row is what is left."""
    ledger = scene.plan.stages[scene.plan.fullest].memory
    capacity = ledger.capacity_bytes
    scale = (WIDTH - LABEL - FIGURE) / max(capacity, ledger.used_bytes)
    parts = [(name, size) for name, size in ledger.parts.items() if size]
    rows, start = [], 0.0
    for index, (name, size) in enumerate([*parts, ("free", capacity - ledger.used_bytes)]):
        y = index * ROW
        fill = KINDS[index % len(KINDS)][0] if index < len(parts) else "none"
        rows += [
            tag("text", name, x=LABEL - 8, y=y + 15, text_anchor="end"),
            tag(
                "rect",
                x=LABEL + start * scale,
                y=y + 3,
                width=max(1.0, size * scale),
                height=ROW - 7,
                rx=2,
                fill=fill,
                stroke="var(--faint)",
            ),
            tag("text", show_bytes(size), x=LABEL + (start + size) * scale + 6, y=y + 15),
        ]
        start += size
    return Drawn(WIDTH, (len(parts) + 1) * ROW, join(rows))


def _row(scene: StageSet, number: int) -> list[str]:
    stage = scene.plan.stages[number]
    ledger = stage.memory
    parts = ", ".join(f"{a}–{b}" if a < b else str(a) for a, b in stage.parts[:3])
    parts += f" and {len(stage.parts) - 3} more" if len(stage.parts) > 3 else ""
    sizes = (ledger.weights_bytes, ledger.gradients_bytes, ledger.optimiser_bytes, ledger.activations_bytes)
    return [
        str(number),
        parts or "none",
        layers_in_words(stage),
        show_seconds(stage.micro_batch_s),
        *map(show_bytes, sizes),
        percent(ledger.used_bytes / ledger.capacity_bytes),
    ]
