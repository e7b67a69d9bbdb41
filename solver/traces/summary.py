"""What is known of a trace once it was read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from solver.errors import BadInput
from solver.traces.clustering import ClassTree
from solver.traces.groups import Group
from solver.traces.tally import BrokenLine
from solver.traces.timing import ArrivalTiming


@dataclass(frozen=True)
class TrafficClass:
    """One class of a trace: a name made of its lengths (or the trace's own), and the statistics."""

    name: str
    node: int
    group: Group


@dataclass(frozen=True)
class TraceSummary:
    """Statistics of a trace, for the whole and for every number of classes.

    Attributes
    ----------
    source: the file's name.
    format: the format it was read as.
    lines, broken, unanswered: lines that should hold a request; those that could not be believed; those whose request
        has no output. The last two are left out of everything else.
    faults: the first broken lines, with reasons.
    timing: start, span and resolution.
    block_tokens: tokens of one hashed block; None if the trace has no blocks.
    blocks, hit_blocks: blocks of all prompts, and those found in a cache without bounds.
    horizon_s: reuse was seen in full up to this idle time; None if nothing was forgotten [s].
    tree, groups: the classes for every count, and the statistics of each node of the tree.
    labels: names of the leaves where the trace's own classes are used.
    clock: how times are counted, in words; notes: what was assumed on reading, each one line.
    """

    source: str
    format: str
    lines: int
    broken: int
    unanswered: int
    faults: tuple[BrokenLine, ...]
    timing: ArrivalTiming
    block_tokens: int | None
    blocks: int
    hit_blocks: int
    horizon_s: float | None
    tree: ClassTree
    groups: tuple[Group, ...]
    labels: tuple[str, ...]
    clock: str = ""
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> Group:
        """All requests together."""
        return self.groups[-1]

    @property
    def requests(self) -> int:
        """How many requests."""
        return self.whole.requests

    @property
    def block_hit_ratio(self) -> float | None:
        """Share of prompt blocks found in a cache without bounds; None if the trace has no blocks.

        Counted by blocks, a partial last block as one; a block hits if all before it in the prompt do. In Mooncake's
        traces this gives 0.366 (conversation) and 0.640 (synthetic); any earlier use, whatever stands before, gives the
        same there, because a hash stands for all that precedes it. Counted by tokens it is 0.374 and 0.651.
        """
        return self.hit_blocks / self.blocks if self.blocks else None

    @property
    def token_hit_ratio(self) -> float | None:
        """Share of prompt tokens found in a cache without bounds; None if the trace tells of no reuse."""
        return self.whole.reused_share if self.tells_reuse else None

    @property
    def tells_reuse(self) -> bool:
        """Whether the trace has block hashes or sessions."""
        return self.whole.survival() is not None

    @property
    def natural_count(self) -> int:
        """How many classes: the trace's own, or as many as each explain a tenth of the variance of log lengths."""
        return len(self.labels) or self.tree.natural_count

    def classes(self, wanted: int | str = "auto") -> tuple[TrafficClass, ...]:
        """The trace as ``wanted`` classes, the most frequent first.

        Raises
        ------
        BadInput: more classes than leaves, fewer than one, or not a count.
        """
        number = self.natural_count if wanted == "auto" else wanted
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= self.tree.leaves:
            raise BadInput(
                f"{self.source}: {str(wanted)[:20]} classes: write auto or a number from 1 to {self.tree.leaves}, "
                "the most that were kept apart when the trace was read"
            )
        nodes = sorted(self.tree.cut(number), key=lambda node: (-self.groups[node].requests, node))
        names = _distinct([self._name(node) for node in nodes])
        return tuple(TrafficClass(name, node, self.groups[node]) for name, node in zip(names, nodes, strict=True))

    def _name(self, node: int) -> str:
        if self.labels:
            return " + ".join(self.labels[leaf] for leaf in self.tree.members(node))[:70]
        group = self.groups[node]
        name = f"{_short(group.content.prompt.moments.mean)}-in-{_short(group.content.output.moments.mean)}-out"
        return f"{name}-{group.reused_share:.0%}-found".replace("%", "pct") if group.reused_share >= 0.005 else name


def _distinct(names: list[str]) -> list[str]:
    """The names in order; one that was taken before gets the first number that makes it new."""
    taken: list[str] = []
    for name in names:
        numbered = (f"{name}-{number}" for number in count(2))
        taken.append(name if name not in taken else next(other for other in numbered if other not in taken + names))
    return taken


def _short(tokens: float) -> str:
    """Two digits: 374 -> 370, 6758 -> 6.8k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if tokens >= size * 0.9995:
            return f"{tokens / size:.2g}{unit}" if tokens < 99.5 * size else f"{tokens / size:.0f}{unit}"
    return f"{tokens:.2g}" if tokens < 99.5 else f"{round(tokens, -1):.0f}"
