"""Errors of the solver, on top of those of the clusters.

::

    RackplanError                     topologies.errors
    ├── BadInput                      exit status 2
    │   ├── UnknownName
    │   ├── BadCluster
    │   ├── UnknownArchitecture       a config.json whose architecture is not understood; names the keys it lacks
    │   └── BadFile                   a file that cannot be read as what it should be; names the path inside it
    ├── NoPlan                        the rules cannot all hold; names them and the cheapest to give up (exit status 1)
    ├── CheckFailed                   the witness rejects a plan (exit status 1)
    └── SolverDefect                  the program itself is wrong: never the user's fault
"""

from __future__ import annotations

from topologies.errors import BadCluster, BadInput, RackplanError, UnknownName, nearest, one_line

__all__ = [
    "BadCluster",
    "BadFile",
    "BadInput",
    "CheckFailed",
    "NoPlan",
    "RackplanError",
    "SolverDefect",
    "UnknownArchitecture",
    "UnknownName",
    "nearest",
]


class UnknownArchitecture(BadInput):
    """A config.json whose architecture is not understood; the message names the keys that were missing."""


class BadFile(BadInput):
    """A file that cannot be read as what it should be; the message names the file and the path inside it."""


class NoPlan(RackplanError):
    """The rules cannot all hold; the message names those in conflict and the cheapest to give up."""


class CheckFailed(RackplanError):
    """The witness rejects a plan; ``violations`` holds one sentence for each rule that is broken."""

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations
        super().__init__("; ".join(map(one_line, violations)))


class SolverDefect(RackplanError):
    """A defect of this project: the program was invalid, or rounding moved a figure too far."""
