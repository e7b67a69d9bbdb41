"""Promises as options of a command: one for every measure, such as ``--ttft-p99 2s``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from solver.workload.fields import with_unit
from solver.workload.measures import MEASURES, QUANTITIES, STATISTICS, Measure

#: Where no option makes a promise.
NOTHING: Mapping[Measure, str] = {}
_EXAMPLES = {"ttft": "2s", "tpot": "30ms", "itl": "100ms", "e2e": "20s"}


def option(measure: Measure) -> str:
    """How a measure is promised on the command line.

    >>> option(MEASURES[0])
    '--ttft-p50'
    """
    return f"--{measure.key.replace('_', '-')}"


def promising(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose argument ``promises`` is a text by measure, each given by an option of its own."""
    signature = inspect.signature(command, eval_str=True)
    parameters = []
    for name, parameter in signature.parameters.items():
        if name != "promises":
            parameters.append(parameter)
            continue
        parameters += [
            parameter.replace(name=measure.key, annotation=Annotated[str | None, _option(measure)], default=None)
            for measure in MEASURES
        ]

    @wraps(command)
    def told(**given: Any) -> None:
        texts = {measure: given.pop(measure.key) for measure in MEASURES}
        command(**given, promises={measure: text for measure, text in texts.items() if text is not None})

    told.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    told.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    return told


def slo(promises: Mapping[Measure, str]) -> dict[str, str | None]:
    """Promises as a scenario file has them.

    Raises
    ------
    BadInput: a time without a unit.
    """
    return {measure.key: with_unit(option(measure), text) for measure, text in promises.items()}


def _option(measure: Measure) -> Any:
    what = QUANTITIES[measure.quantity]
    example = f", such as {_EXAMPLES[measure.quantity]}" if measure.statistic == next(iter(STATISTICS)) else ""
    return typer.Option(option(measure), help=f"{what}, {measure.statistic}{example}.", rich_help_panel="Promises")
