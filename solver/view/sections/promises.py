"""What is promised to whom, and what is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solver.plan import Latency
from solver.plan.replayed import told
from solver.view.amounts import percent, quantity, usd
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from solver.view.words import promises_kept
from solver.workload.measures import QUANTITIES, STATISTICS, Measure
from topologies.units import show_seconds


def promises(scene: Scene) -> Markup:
    """The traffic, the promises and the predictions with their intervals."""
    prediction, confirmation = scene.plan.prediction, scene.plan.confirmation
    heads = ("class", "promise", "promised", "predicted", "to spare", *(("in replay",) if confirmation else ()))
    kept = (
        (
            *(k.request_class, k.what, show_seconds(k.promised_s), show_seconds(k.predicted_s), percent(k.spare)),
            *((_seen(k.replayed_s),) if confirmation else ()),
        )
        for k in promises_kept(scene)
    )
    everyone = {**prediction.classes, "all requests": prediction} if len(prediction.classes) > 1 else prediction.classes
    return tag(
        "section",
        tag("h2", "Traffic and promises"),
        tag("ul", (tag("li", sentence) for sentence in _traffic(scene))),
        table(heads, kept, "Promises"),
        tag("p", f"Replayed request by request: {told(confirmation)}." if confirmation else "The plan was not replayed."),
        table(
            ("class", "latency", *STATISTICS),
            (row for name, latency in everyone.items() for row in _latencies(name, latency)),
            "Predictions, each with the range that holds in 80 % of the draws of what they may be off by",
        ),
        table(
            ("class", "requests/s", "output tokens/s"),
            ((name, *_rates(latency)) for name, latency in everyone.items()),
            "What is served, with the range of what is served within the promises",
        ),
        tag("p", f"All promises hold at once in {percent(prediction.confidence)} of the draws."),
        _margins(scene),
        id="promises",
    )


def _seen(seconds: float | None) -> str:
    return "not told" if seconds is None else show_seconds(seconds)


def _margins(scene: Scene) -> Markup | None:
    """What classes with a price bring in and cost; None where none has one."""
    if not scene.plan.margins:
        return None
    rows = (
        (m.request_class, usd(m.revenue_usd_per_hour), usd(m.cost_usd_per_hour), percent(m.margin))
        for m in scene.plan.margins
    )
    return table(("class", "revenue per hour", "cost per hour", "margin"), rows, "What each class is sold for")


def _traffic(scene: Scene) -> Iterator[str]:
    for group in scene.instance.groups:
        for c in group.classes:
            rate = scene.plan.prediction.classes[c.name].requests_per_s
            yield (
                f"{c.name!r}: {quantity(rate)} requests/s with {quantity(c.prompt_tokens)} prompt tokens and "
                f"{quantity(c.output_tokens)} output tokens on average."
            )


def _latencies(name: str, predicted: Latency) -> Iterator[tuple[str | Markup, ...]]:
    """A row each latency, as far as the plan tells them."""
    for latency, words in QUANTITIES.items():
        measures = [Measure(latency, statistic) for statistic in STATISTICS]
        if any(predicted.figure(measure) is not None for measure in measures):
            cells = (_seconds(predicted.figure(m), predicted.interval_80.get(m.field)) for m in measures)
            yield (name, words, *cells)


def _seconds(value: float | None, ends: tuple[float, float] | None) -> Markup:
    return _with_range("not told" if value is None else show_seconds(value), [show_seconds(end) for end in ends or ()])


def _rates(latency: Latency) -> Iterator[Markup]:
    for key in ("requests_per_s", "output_tokens_per_s"):
        yield _with_range(_rate(getattr(latency, key)), [_rate(end) for end in latency.interval_80.get(key, ())])


def _rate(value: float) -> str:
    return quantity(float(f"{value:.4g}"))


def _with_range(value: str, ends: Sequence[str]) -> Markup:
    """A figure with its range beneath it, where the range is more than a point."""
    return tag("span", value, tag("small", " – ".join(ends)) if len(set(ends)) > 1 else None, class_="ranged")
