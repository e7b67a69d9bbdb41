"""The pipeline over time: forward and backward work of every device, and the bubbles between."""

from __future__ import annotations

from solver.training.timeline import ChunkPace, Span, play
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, tag
from solver.view.palette import KINDS
from solver.view.training.stage_set import StageSet
from topologies.units import show_seconds

#: Devices and micro-batches that are drawn at most; more are like them.
MOST_DEVICES, MOST_WAVES = 16, 2
WIDTH, ROW, LABEL = 1080, 16, 60
COLOURS = {"F": KINDS[0][0], "B": KINDS[1][0], "I": KINDS[3][0], "W": KINDS[2][0]}
WORDS = {"F": "forward", "B": "backward", "I": "gradients of inputs alone", "W": "gradients of weights"}


def pipeline(scene: StageSet) -> Markup | None:
    """The timeline; none where there is no pipeline."""
    layout = scene.evidence.layout
    if layout.pp == 1:
        return None
    spans, micro_batches = played(scene)
    length = max(span.end for span in spans)
    busy = sum(span.end - span.start for span in spans) / length / len({span.device for span in spans})
    whole = scene.plan.prediction
    note = (
        f"{micro_batches} of {scene.plan.micro_batches} micro-batches in {show_seconds(length)}, devices busy {busy:.0%} of "
        f"it; in the whole step bubbles take {show_seconds(whole.bubble_s)} of {show_seconds(whole.step_s)}."
    )
    keys = (
        tag("li", Drawn(14, 12, tag("rect", width=14, height=12, fill=COLOURS[what])).svg(aria_hidden="true"), word)
        for what, word in WORDS.items()
        if any(span.what == what for span in spans)
    )
    return tag(
        "section",
        tag("h2", f"The pipeline over time: {layout.schedule}"),
        tag("p", note, class_="hint"),
        tag("ul", keys, class_="legend"),
        tag(
            "div",
            timeline(spans, length).svg(role="img", aria_label="timeline of the pipeline"),
            class_="scroll",
            tabindex=0,
        ),
        id="pipeline",
    )


def played(scene: StageSet) -> tuple[list[Span], int]:
    """The first devices of the pipeline with enough micro-batches to see its start, its pace and its end."""
    layout, costs = scene.evidence.layout, scene.evidence.costs
    stages = min(layout.pp, MOST_DEVICES)
    micro_batches = min(scene.plan.micro_batches, MOST_WAVES * max(2, stages))
    micro_batches -= micro_batches % stages if layout.schedule.kind == "interleaved" and micro_batches > stages else 0
    each = [costs.times[kind] for kind in costs.kind_of]
    forward, backward = sum(t.forward for t in each), sum(t.backward for t in each)
    weights = sum(t.weights for t in each)
    own = 1 if layout.schedule.copies == 2 else layout.schedule.parts(layout.pp) // layout.pp
    paces = []
    for stage in scene.plan.stages[:stages]:
        seconds = stage.micro_batch_s / own
        whole = forward + backward
        paces.append(ChunkPace(seconds * forward / whole, seconds * backward / whole, seconds * weights / whole))
    return play(layout.schedule, paces, micro_batches), micro_batches


def timeline(spans: list[Span], length: float) -> Drawn:
    """A row for each device, work of a kind in one path."""
    scale = (WIDTH - LABEL) / length
    devices = 1 + max(span.device for span in spans)
    elements = [
        tag("rect", x=LABEL, y=0, width=WIDTH - LABEL, height=devices * ROW, fill="var(--unused)"),
        *(tag("text", f"stage {device}", x=0, y=device * ROW + 12) for device in range(devices)),
    ]
    for what, fill in COLOURS.items():
        for shade in range(2):
            # neighbouring micro-batches differ in strength
            path = "".join(_box(span, scale) for span in spans if span.what == what and span.micro_batch % 2 == shade)
            if path:
                elements.append(tag("path", d=path, fill=fill, opacity=1.0 if shade else 0.72))
    return Drawn(WIDTH, devices * ROW, join(elements))


def _box(span: Span, scale: float) -> str:
    x, width = LABEL + span.start * scale, (span.end - span.start) * scale
    return f"M{x:.1f} {span.device * ROW + 1}h{width:.1f}v{ROW - 2}h{-width:.1f}z"
