"""Cases: what decides which surprises of predictions a replica shares with which measured runs, and what runs of one showed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from solver.errors import BadFile

#: What surprises, in the order of every first axis.
OUTPUTS = ("tpot", "little", "ttft")
#: Mechanisms that few runs or none had, each an effect by itself.
MECHANISMS = ("pipeline", "domains", "handover", "drafts", "overlap", "context")
#: Cases by how widely their effects spread: one pool on NVIDIA's devices, two of them there, anything elsewhere.
WIDTHS = ("together", "apart", "elsewhere")
#: Lengths of what is planned: known of no run.
PLANNED = "planned"


@dataclass(frozen=True)
class Case:
    """What decides which surprises a replica shares with which runs.

    Attributes
    ----------
    llm: its :func:`solver.cost.support.shape`. weights: main number format.
    kind: ``tp``, ``ep``, ``dp tp`` or ``dp ep``; layout: all degrees; size: devices of the replica.
    mechanisms: those of ``MECHANISMS`` that it has.
    lengths: of prompts and outputs, by name. load: log2 of requests in flight for each device, 8 of them being 0, in
        threes. burst: whether all requests were started at once. vendor: of the device; NVIDIA where nobody says.
    """

    engine: str
    release: str
    llm: str
    device: str
    weights: str
    kind: str
    layout: str
    size: int
    mechanisms: str = ""
    lengths: str = PLANNED
    load: float = 0.0
    burst: int = 0
    vendor: str = ""

    @property
    def width(self) -> int:
        """Place of its kind in ``WIDTHS``."""
        return 2 if self.vendor not in ("", "NVIDIA") else int("handover" in self.mechanisms.split())

    def level(self, effect: str) -> str | None:
        """Its level of an effect; None where it has no part in it."""
        if effect in MECHANISMS:
            return effect if effect in self.mechanisms.split() else None
        return "|".join(str(getattr(self, name)) for name in effect.split() if name != "~")


@dataclass(frozen=True)
class Surprise:
    """What runs of one case showed.

    Attributes
    ----------
    tpot, little, ttft: logarithms of measured over predicted; None unmeasured.
    runs: that agree in all.
    """

    case: Case
    tpot: float | None
    little: float | None
    ttft: float | None
    runs: int = 1

    def plain(self) -> list[Any]:
        """A row of a file."""
        figures = [None if value is None else round(value, 4) for value in (self.tpot, self.little, self.ttft)]
        return [*(getattr(self.case, f.name) for f in fields(Case)), *figures, self.runs]

    @classmethod
    def read(cls, row: object, source: str) -> Surprise:
        """The inverse.

        Raises
        ------
        BadFile: not such a row.
        """
        names = [f.name for f in fields(Case)]
        wrong = BadFile(f"{source}: a surprise is a list of {', '.join([*names, *OUTPUTS, 'runs'])}")
        if not isinstance(row, list | tuple) or len(row) != len(names) + 4:
            raise wrong
        *told, tpot, little, ttft, runs = row
        kinds = [int if n in ("size", "burst") else float if n == "load" else str for n in names]
        typed = [isinstance(v, int | float if k is float else k) for v, k in zip(told, kinds, strict=True)]
        figures = [v is None or (isinstance(v, int | float) and abs(v) <= 10) for v in (tpot, little, ttft)]
        if not all(typed) or not all(figures) or not isinstance(runs, int) or runs < 1 or abs(told[names.index("load")]) > 10:
            raise wrong
        return cls(Case(*told), tpot, little, ttft, runs)
