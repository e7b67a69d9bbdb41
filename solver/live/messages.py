"""What a search tells while it is under way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progressed:
    """What is known so far, in units of the objective; None before there is a layout."""

    best: float | None
    bound: float


@dataclass(frozen=True)
class Planned:
    """A plan as JSON text; ``final`` says that nothing follows."""

    text: str
    final: bool


@dataclass(frozen=True)
class Refused:
    """There is no plan; says why in a line or two."""

    because: str


Message = Progressed | Planned | Refused
