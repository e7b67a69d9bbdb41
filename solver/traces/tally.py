"""How many lines were broken, which, and when that is too many."""

from __future__ import annotations

from dataclasses import dataclass, field

from solver.errors import BadFile

#: Broken lines that are named; the rest are only counted.
NAMED = 5
#: After this many lines a file of which most are broken is given up.
EARLY_LINES = 10_000


@dataclass(frozen=True)
class BrokenLine:
    """A broken line: its number, counted from 1, and what is wrong with it."""

    line: int
    reason: str


@dataclass
class Tally:
    """Lines read so far.

    Attributes
    ----------
    name: the file, as errors name it.
    share: largest share of broken lines that is tolerated; a single one always is.
    lines: lines that should hold a request (headers and blank lines do not count).
    broken: of those, lines that could not be believed.
    unanswered: of those, requests without output (failed ones), which are left out of every statistic.
    faults: the first few broken lines.
    """

    name: str
    share: float
    lines: int = 0
    broken: int = 0
    unanswered: int = 0
    faults: list[BrokenLine] = field(default_factory=list)

    def mark(self, line: int, reason: str) -> None:
        """Count a broken line.

        Raises
        ------
        BadFile: most of the first lines are broken, so this is not the file it was taken for.
        """
        self.broken += 1
        if len(self.faults) < NAMED:
            self.faults.append(BrokenLine(line, reason))
        if self.lines >= EARLY_LINES and 2 * self.broken > self.lines and self.share < 0.5:
            raise BadFile(self._too_many())

    def settle(self) -> None:
        """Judge the whole file.

        Raises
        ------
        BadFile: no request at all, or too many broken lines.
        """
        if self.broken > max(1, self.share * self.lines):
            raise BadFile(self._too_many())
        if self.lines == self.broken + self.unanswered:
            if self.faults:
                raise BadFile(f"{self.name}: line {self.faults[0].line}: {self.faults[0].reason}; no request is left")
            why = (
                f"all {self.unanswered} requests have an output of 0 tokens"
                if self.unanswered
                else "the trace is empty"
            )
            raise BadFile(f"{self.name}: line 1: {why}")

    def _too_many(self) -> str:
        first = self.faults[0]
        return (
            f"{self.name}: {self.broken} of {self.lines} lines are broken ({self.broken / self.lines:.1%}, at most "
            f"{self.share:.2%} is tolerated); the first is line {first.line}: {first.reason}"
        )
