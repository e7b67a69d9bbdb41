"""What all charts share: axes, the planned point, the promise, and a style that follows the page around a chart."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from solver.view.amounts import percent, quantity
from solver.view.curves import Curve

#: Width and height of a chart's plot, so that three stand side by side on a page and one fits a telephone.
SIZE = (300, 170)
INK = "currentColor"
ACCENT = "#D55E00"
LINE = "#0072B2"


def altair() -> Any:
    """The drawing library, loaded when the first chart is made."""
    import altair

    return altair


def data(rows: list[dict[str, Any]]) -> Any:
    """Rows inside the chart."""
    return altair().Chart(altair().Data(values=rows))


def load_axis(curve: Curve) -> Any:
    """The load of a pool: running sequences, or for prefill the share of the time it is busy."""
    alt = altair()
    if curve.role == "prefill":
        axis = alt.Axis(format="%", tickCount=5)
        return alt.X("load:Q", title="share of the time that a rank is busy", scale=alt.Scale(domain=[0, 1]), axis=axis)
    scale = alt.Scale(type="log", domain=[curve.points[0].load, curve.points[-1].load], nice=False)
    return alt.X("load:Q", title="running sequences on a rank", scale=scale, axis=log_axis())


def log_axis(places: Collection[float] = ()) -> Any:
    """Labels at a few places, else at 1, 2 and 5 of every power of ten, as many as there is room for."""
    values = sorted(places) or [digit * 10.0**power for power in range(-9, 18) for digit in (1, 2, 5)]
    words = "datum.value >= 1e6 || datum.value < 1e-3 ? format(datum.value, '~e') : format(datum.value, ',~r')"
    return altair().Axis(values=values, labelExpr=words, labelOverlap="greedy", labelSeparation=6)


def line(rows: list[dict[str, Any]], curve: Curve, y: Any) -> Any:
    """One line over the load."""
    return data(rows).mark_line(clip=True, strokeWidth=2.2, color=LINE).encode(x=load_axis(curve), y=y)


def planned_point(curve: Curve, value: float, y: Any) -> list[Any]:
    """The point that the plan chose, and its drop to the axis."""
    mark = data([{"load": curve.chosen.load, "value": value}])
    x = load_axis(curve)
    return [
        mark.mark_rule(color=INK, opacity=0.4, strokeDash=[2, 2]).encode(x=x),
        mark.mark_point(filled=True, size=90, color=ACCENT, opacity=1).encode(x=x, y=y),
    ]


def planned(curve: Curve, text: str) -> str:
    """The planned point in words, for below the title."""
    load = curve.chosen.load
    where = f"{percent(load)} busy" if curve.role == "prefill" else f"{quantity(float(f'{load:.3g}'))} sequences a rank"
    return f"planned: {text} at {where}"


def promise(value: float, text: str, y: Any) -> Any:
    """A line that the plan must stay below."""
    alt = altair()
    mark = data([{"value": value, "text": text}])
    rule = mark.mark_rule(color=ACCENT, strokeWidth=1.5, strokeDash=[5, 3]).encode(y=y)
    return rule + mark.mark_text(align="left", dx=4, dy=-7, color=INK).encode(x=alt.value(0), y=y, text="text:N")


def finished(layers: list[Any], title: str, below: str = "", size: tuple[int, int] = SIZE) -> Any:
    """Layers as one chart in the style of the page; ``below`` is the line under the title."""
    alt = altair()
    heading = alt.Title(
        title,
        subtitle=below,
        anchor="start",
        fontSize=12,
        fontWeight=600,
        color=INK,
        subtitleColor=INK,
        subtitleFontSize=11,
    )
    return (
        alt.layer(*layers, title=heading, width=size[0], height=size[1])
        .configure(
            background="transparent",
            font="system-ui, DejaVu Sans, sans-serif",
            padding={"left": 2, "right": 8, "top": 2, "bottom": 2},
        )
        .configure_axis(
            labelColor=INK, titleColor=INK, titleFontWeight="normal", domainColor=INK, tickColor=INK, gridColor=INK,
            gridOpacity=0.12, domainOpacity=0.4, tickOpacity=0.4, labelFontSize=10, titleFontSize=11,
        )
        .configure_legend(labelColor=INK, titleColor=INK, labelFontSize=10, labelLimit=0, orient="bottom", symbolType="stroke")
        .configure_text(fontSize=10)
        .configure_view(stroke=None)
    )  # fmt: skip
