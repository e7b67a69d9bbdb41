"""The waterfall from the floor to the cost, as a chart."""

from __future__ import annotations

from typing import Any

from solver.check.floor import CostFloor
from solver.view.amounts import percent, usd
from solver.view.chart_parts import INK, altair, data, finished

#: The floor, what stands above it, and the whole.
COLOURS = {"floor": "#0072B2", "cause": "#E69F00", "cost": "#8A939C"}
ROW, WIDTH = 24, 560


def waterfall_chart(found: CostFloor) -> Any:
    """A bar for every cause, each beginning where the one before ends; the last is the whole cost."""
    alt = altair()
    rows: list[dict[str, Any]] = []
    end = 0.0
    for name, part in found.parts.items():
        if abs(part) > 5e-4 * found.cost:
            kind = "cause" if rows else "floor"
            rows.append({"name": name, "from": end, "to": end + part, "kind": kind, "text": _label(part, found)})
        end += part
    rows.append({"name": "cost", "from": 0.0, "to": found.cost, "kind": "cost", "text": usd(found.cost)})
    for row, entry in enumerate(rows):
        entry["row"] = row
    y = alt.Y("name:N", title=None, sort=alt.EncodingSortField("row", op="min"))
    top = alt.Scale(domain=[0, 1.22 * found.cost], nice=False)
    x = alt.X("from:Q", title="USD per million output tokens", scale=top, axis=alt.Axis(tickCount=6))
    fills = alt.Scale(domain=list(COLOURS), range=list(COLOURS.values()))
    bars = data(rows).mark_bar().encode(x=x, x2="to:Q", y=y, color=alt.Color("kind:N", scale=fills, legend=None))
    words = data(rows).mark_text(align="left", dx=4, color=INK).encode(x=alt.X("to:Q", scale=top), y=y, text="text:N")
    below = f"{found.cost / found.floor:.3g} times what matrix products at the devices' peak would cost"
    return finished([bars, words], "What stands between the floor and the cost", below, (WIDTH, ROW * len(rows)))


def _label(part: float, found: CostFloor) -> str:
    return f"{usd(part)}, {percent(part / found.cost)}"
