"""A scenario's traffic given as a trace, replaced by the classes found in it, so that the file is not needed again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from solver.traces.lines import Progress
from solver.traces.reading import Reading
from solver.traces.traffic import classes
from solver.workload import SLO, Traffic
from solver.workload.fields import Price, Rate, Record, Tokens, read_record


class TraceTraffic(Record):
    """Traffic as a trace: where it is, how it is read, and what holds for all of its classes.

    Attributes
    ----------
    trace: path of the file, from the scenario's folder.
    format, block_tokens, columns, time_unit: as :class:`solver.traces.reading.Reading` has them.
    classes: how many to form, or ``auto``.
    requests_per_s: rate to which the sum of all classes is scaled [1/s].
    slo, price_usd_per_million_output_tokens: of every class. routing: as :class:`solver.workload.Traffic` has it.
    """

    trace: Annotated[str, Field(min_length=1)]
    format: str = "auto"
    classes: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    block_tokens: Tokens | None = None
    columns: str | None = None
    time_unit: str = "auto"
    requests_per_s: Rate | None = None
    slo: SLO | None = None
    price_usd_per_million_output_tokens: Price | None = None
    routing: Literal["prefix_aware", "sticky", "random"] | None = None

    def traffic(self, folder: Path, progress: Progress | None = None) -> Traffic:
        """The request classes of the trace.

        Raises
        ------
        BadInput: the trace cannot be used.
        """
        reading = Reading(
            format=self.format,
            block_tokens=self.block_tokens,
            columns=self.columns,
            time_unit=self.time_unit,
            progress=progress,
        )
        found = classes(folder / self.trace, self.classes, reading)
        scale = 1.0 if self.requests_per_s is None else self.requests_per_s / found.requests_per_s
        for_all = {
            name: value
            for name in ("slo", "price_usd_per_million_output_tokens")
            if (value := getattr(self, name)) is not None
        }
        members = tuple(
            one.model_copy(update={"requests_per_s": one.requests_per_s * scale, **for_all}) for one in found.classes
        )
        return Traffic(members, **({} if self.routing is None else {"routing": self.routing}))


def read_trace(path: str | PathLike[str], **fields: Any) -> Traffic:
    """A recorded trace as traffic, as a scenario's ``traffic: {trace: FILE, ...}`` reads it.

    Parameters
    ----------
    fields: any other field of :class:`TraceTraffic`, such as ``classes=4`` or ``requests_per_s=50``.

    Raises
    ------
    BadInput: a field that means nothing here, or a trace that cannot be used.
    """
    return read_record(TraceTraffic, {"trace": str(path), **fields}, "trace").traffic(Path())


def with_classes(content: Mapping[str, Any], folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """The content of a scenario with ``traffic: {trace: FILE, ...}`` replaced by the trace's request classes.

    Traffic that names no trace stays as it is.

    Parameters
    ----------
    folder: where the trace's relative path starts.

    Raises
    ------
    BadInput: a key that means nothing here, or a trace that cannot be used.
    """
    given = content.get("traffic")
    if not isinstance(given, Mapping) or "trace" not in given:
        return dict(content)
    found = read_record(TraceTraffic, given, "traffic beside a trace").traffic(folder, progress)
    return {**content, "traffic": found.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
