"""The figures of the page one by one, for papers and notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from solver.errors import BadInput
from solver.plan import Plan
from solver.view import charts as draw
from solver.view.colouring import colouring
from solver.view.curves import curve
from solver.view.drawn import to_png
from solver.view.experts import experts_of
from solver.view.experts_drawing import draw_experts
from solver.view.fabric import fabric_of
from solver.view.fabric_drawing import draw_fabric
from solver.view.idle_kv_drawing import draw_idle_kv
from solver.view.scene import Scene
from solver.view.sections.charts import charts_of
from solver.view.topology import cluster_svg
from solver.view.waterfall_drawing import waterfall_chart
from topologies.writing import write_file


@dataclass(frozen=True)
class Figure:
    """A drawing that needs nothing else; a notebook shows it as it is.

    Attributes
    ----------
    svg: the drawing as the text of an SVG file.
    """

    svg: str

    def png(self, scale: float = 2.0) -> bytes:
        """The drawing as PNG; ``scale`` is its resolution over 96 dpi."""
        return to_png(self.svg, scale)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the drawing as what the name ends with, ``.svg`` or ``.png``.

        Raises
        ------
        BadInput: another ending, or a file that cannot be written.
        """
        target = Path(path)
        if target.suffix.lower() not in (".svg", ".png"):
            raise BadInput(
                f"{target}: a figure is an .svg or a .png, not {target.suffix or 'a name without an ending'}"
            )
        content = self.svg.encode() if target.suffix.lower() == ".svg" else self.png()
        write_file(target, content)

    def _repr_svg_(self) -> str:
        return self.svg


def figures(plan: Plan, by: str = "pool") -> dict[str, Figure]:
    """Every figure of a plan by name, such as ``topology``, ``fabric``, ``roofline`` and ``decode-tpot``.

    Parameters
    ----------
    by: what the colours of the topology tell: ``pool``, ``replica``, ``stage``, ``rank``, or ``load`` for the fullest link.

    Raises
    ------
    BadInput: there is no such colouring.
    """
    scene = Scene.of(plan)
    return {name: Figure(svg) for name, svg in _drawings(scene, by)}


def topology(plan: Plan, by: str = "pool") -> Figure:
    """The cluster with what every device runs; see :func:`figures`."""
    scene = Scene.of(plan)
    return Figure(cluster_svg(scene, colouring(scene, by)))


def _drawings(scene: Scene, by: str) -> Iterator[tuple[str, str]]:
    yield "topology", cluster_svg(scene, colouring(scene, by))
    fabric = fabric_of(scene)
    if fabric is not None:
        yield "fabric", draw_fabric(fabric).standalone()
    for experts in experts_of(scene.plan):
        yield f"{experts.pool}-experts", draw_experts(experts).standalone()
    if scene.plan.kv_tiers:
        yield "tiers", draw_idle_kv(scene.plan.kv_tiers).standalone()
    curves = [curve(scene, pool) for pool in scene.plan.pools]
    yield "waterfall", draw.to_svg(waterfall_chart(scene.floor))
    yield "roofline", draw.to_svg(draw.roofline_chart(curves))
    yield "memory", draw.to_svg(draw.memory_chart(scene.plan))
    for each in curves:
        for name, chart in charts_of(each):
            yield f"{each.pool}-{name}", draw.to_svg(chart)
