"""What to deploy: every pool with its shape, its load and what the engine must be told."""

from __future__ import annotations

from collections.abc import Iterator

from solver.plan import Pool
from solver.view.amounts import percent, plural, quantity
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from topologies.units import show_bytes, show_seconds

HEADS = (
    "pool", "engine", "replicas", "each replica", "batch per rank", "step", "tokens/s per replica", "full",
    "bound by", "memory per rank",
)  # fmt: skip
FULL = "Pools; full is the planned load over the most that keeps the promises"
LIMITS = (
    "pool", "max sequences", "max batched tokens", "chunk tokens", "draft tokens", "memory fraction", "max length",
    "captured batch sizes",
)  # fmt: skip
RESTS_ON = "mechanism", "pools", "measured runs", "with its engine"


def pools(scene: Scene) -> Markup:
    """Pools, what their engines must be told, which requests go where, and the measured runs behind it."""
    limits = (
        (
            pool.name,
            f"{pool.limits.max_sequences:,}",
            f"{pool.limits.max_batched_tokens:,}",
            f"{pool.chunk_tokens:,}",
            f"{pool.draft_tokens}",
            f"{pool.limits.memory_fraction:.2f}",
            f"{pool.limits.max_length:,}",
            ", ".join(map(str, pool.limits.captured_batch_sizes)) or "none",
        )
        for pool in scene.plan.pools
    )
    return tag(
        "section",
        tag("h2", "What to deploy"),
        table(HEADS, (_row(pool) for pool in scene.plan.pools), FULL),
        table(LIMITS, limits, "What the engines must be told"),
        tag("ul", (tag("li", sentence) for sentence in _routes(scene))),
        table(RESTS_ON, _rests_on(scene), "What the prices rest on"),
        id="pools",
    )


def _rests_on(scene: Scene) -> Iterator[tuple[str, ...]]:
    """Mechanisms by the runs that had them, the fewest first; one row for pools alike."""
    pools: dict[tuple[int, int, str], list[str]] = {}
    for pool in scene.plan.pools:
        for each in pool.rests_on:
            pools.setdefault((each.runs, each.engine_runs, each.mechanism), []).append(pool.name)
    for (runs, engine_runs, mechanism), names in sorted(pools.items()):
        yield mechanism, ", ".join(names), f"{runs:,}" if runs else "none", f"{engine_runs:,}" if engine_runs else "none"


def shape(pool: Pool) -> str:
    """Degrees of parallelism that are more than one, and the devices that they take.

    A lone device is ``tp 1``.
    """
    degrees = pool.parallelism.model_dump()
    words = [f"{name} {degree}" for name, degree in degrees.items() if degree > 1] or ["tp 1"]
    return f"{plural(pool.parallelism.shape().devices, pool.device.upper())}: {', '.join(words)}"


def _row(pool: Pool) -> tuple[str, ...]:
    m = pool.memory
    kind = "prompt" if pool.role == "prefill" else "output"
    return (
        pool.name, pool.engine, f"{pool.replicas:,}", shape(pool), quantity(float(f"{pool.batch_per_rank:.3g}")),
        show_seconds(pool.step_s), f"{quantity(round(pool.tokens_per_s_per_replica))} {kind}", percent(pool.fullness),
        pool.roofline.bound_by, f"{show_bytes(m.used_bytes)} of {show_bytes(m.capacity_bytes)}",
    )  # fmt: skip


def _routes(scene: Scene) -> Iterator[str]:
    for name, by_role in scene.plan.routing.items():
        for role, shares in by_role.items():
            words = " and ".join(f"{percent(share)} to {pool}" for pool, share in shares.items())
            yield f"Requests of {name!r}: {role} goes {words}."
