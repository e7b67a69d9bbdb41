"""What else was considered, and what the plan was made with."""

from __future__ import annotations

from solver.plan import Alternative
from solver.view.amounts import usd
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.pools import shape
from solver.view.sections.tables import table


def alternatives(scene: Scene) -> Markup | None:
    """Other layouts and what they would cost; None where the plan names none."""
    others = scene.plan.alternatives
    if not others:
        return None
    rows = (
        (other.summary, _layout(other), usd(other.usd_per_million_output_tokens), usd(other.usd_per_hour))
        for other in others
    )
    heads = ("alternative", "layout", "per million output tokens", "per hour")
    return tag("section", tag("h2", "What else was considered"), table(heads, rows), id="alternatives")


def provenance(scene: Scene) -> Markup:
    """Versions, calibrations and the set of choices over which the bound holds."""
    p = scene.plan.provenance
    versions = ", ".join(f"{name} {version}" for name, version in p.versions.items())
    calibrations = "; ".join(
        f"{device.upper()}: {known.get('name', 'unnamed')}, fitted on {known.get('fitted_on', 'nothing')}"
        for device, known in p.calibrations.items()
    )
    seed = "none: searched by wall time" if p.seed is None else str(p.seed)
    rows = [
        ("the bound holds over", p.bound_over),
        ("calibration", calibrations or "none"),
        ("versions", versions),
        ("seed", seed),
    ]
    return tag(
        "section",
        tag("h2", "How this was found"),
        tag("dl", ((tag("dt", name), tag("dd", value)) for name, value in rows), class_="about"),
        id="about",
    )


def _layout(other: Alternative) -> str:
    return "; ".join(f"{pool.name}: {pool.replicas} x {shape(pool)}" for pool in other.pools)
