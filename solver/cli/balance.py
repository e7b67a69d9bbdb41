"""``rackplan balance``: the batch at which an engine's step changes from memory-bound to compute-bound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.device import DEVICE_HELP, device_option
from topologies.units import show_seconds

if TYPE_CHECKING:
    from solver.economics.balance import BalancePoint
    from solver.llm import LLM
    from topologies import Device


@app.command(epilog="Example: rackplan balance --llm deepseek-v3 --device rubin --context 4000")
def balance(
    llm: Annotated[str | None, typer.Option(help="Catalog name or path of a config.json; all if left out.")] = None,
    device: Annotated[str | None, typer.Option(help=f"{DEVICE_HELP} All if left out.")] = None,
    context: Annotated[float, typer.Option(min=0, help="Tokens that each sequence attends to.")] = 0.0,
    weights: Annotated[str, typer.Option(help="checkpoint, or a dtype.")] = "checkpoint",
    kv_cache: Annotated[str, typer.Option(help="auto, or a dtype.")] = "auto",
    engine: Annotated[str, typer.Option(help="ideal, or an engine whose measured kernels shall count.")] = "ideal",
    as_json: AsJson = False,
) -> None:
    """Say how large a batch must be before decoding waits for arithmetic, and what a long context does to that.

    With an LLM and a device everything about the pair; with one of them, or none, a table of the catalog.
    """
    import topologies
    from solver.llm import LLM, names

    devices = [_device(device)] if device is not None else list(topologies.devices().values())
    wanted = [llm] if llm is not None else list(names())
    llms = (LLM.from_config(name, weights=weights, kv_cache=kv_cache) for name in wanted)
    if llm is not None and device is not None:
        found = _point(next(llms), devices[0], context, engine)
        print(json.dumps(_plain(found), indent=1) if as_json else "\n".join(_words(found)))
        return
    rows = _table(llms, devices, context, engine)
    if as_json:
        print(json.dumps(list(rows), indent=1))
        return
    for row in rows:
        batch = "never" if row["batch"] is None else f"{row['batch']:,.0f}"
        print(f"{row['llm']:44} {row['device']:14} {batch:>10}")


def _device(text: str) -> Device:
    import topologies

    given = device_option(text)
    return topologies.device(given) if isinstance(given, str) else topologies.Device.parse(given or {})


def _point(llm: LLM, device: Device, context: float, engine: str) -> BalancePoint:
    from solver.cost.calibration import packaged
    from solver.economics.balance import balance as balanced

    return balanced(llm, device, context, packaged(engine, device.generation)[0])


def _table(llms: Iterator[LLM], devices: list[Device], context: float, engine: str) -> Iterator[dict[str, Any]]:
    for llm in llms:
        if context > llm.max_context:
            continue
        for device in devices:
            yield {"llm": llm.name, "device": device.name, "batch": _point(llm, device, context, engine).batch}


def _words(found: BalancePoint) -> Iterator[str]:
    """The answer first, then what moves it."""
    where = f"{found.llm.name} on {found.device.name}"
    at = f" at {found.context:,.0f} tokens of context" if found.context else ""
    if found.batch is None:
        yield f"{where}{at}: no batch waits for arithmetic; reading a KV cache takes longer than computing its token"
    else:
        yield f"{where}{at}: arithmetic and memory take equally long at {found.batch:,.0f} sequences, whatever the devices"
    closed = found.lecture
    lecture = "none" if closed.kv_slope_ratio >= 1 else f"{closed.crossover_batch:,.0f}"
    why = found.disagreement()
    yield f"  the lecture's closed form: {lecture}{f' ({why})' if why else ''}; r = {closed.kv_slope_ratio:.3g}"
    attention = closed.attention_flop / (2 * closed.active_parameters)
    yield f"  attention takes {attention:.3g} times the time of a token's matrix products"
    if found.selection is not None:
        yield (
            f"  its sparse attention takes {found.selection.flop:.2g} of the arithmetic and reads "
            f"{found.selection.byte:.2g} of the bytes that attending to all keys would"
        )
    if found.kv_context is not None:
        yield f"  KV caches are read for as long as weights at {found.kv_context:,.0f} tokens of context and the balance batch"
    if found.last_context is not None:
        yield f"  beyond {found.last_context:,.0f} tokens of context no batch waits for arithmetic"
    elif found.batch is not None:
        yield "  at any context some batch waits for arithmetic"
    yield f"  HBM is drained in {show_seconds(found.drain_s)}: no step that reads every byte once is longer"
    roof = found.third_roof
    if roof is None:
        yield "  network: none, one device holds the weights"
    else:
        yield (
            f"  network: on {roof.shape.devices} devices ({roof.shape}) collectives take {roof.over_compute:.2g} times the "
            "arithmetic"
        )


def _plain(found: BalancePoint) -> dict[str, Any]:
    closed, roof = found.lecture, found.third_roof
    return {
        "llm": found.llm.name,
        "device": found.device.name,
        "context": found.context,
        "batch": found.batch,
        "closed_form_batch": None if closed.kv_slope_ratio >= 1 else closed.crossover_batch,
        "disagreement": found.disagreement(),
        "kv_slope_ratio": closed.kv_slope_ratio,
        "attention_over_matrices": closed.attention_flop / (2 * closed.active_parameters),
        "selection": None if found.selection is None else found.selection._asdict(),
        "kv_context": found.kv_context,
        "last_context": found.last_context,
        "drain_s": found.drain_s,
        "network": None if roof is None else {"devices": roof.shape.devices, "over_compute": roof.over_compute},
    }
