"""A step of a pipeline, played: when each device does what, by the order of its schedule.

Devices take work in the order that the schedule gives them, as soon as what it needs has arrived. Backward passes are split
into gradients of activations and of weights where the schedule does so. Nothing here decides a plan: it draws the schedule,
and a test compares its length with the formula.

Source: Megatron-LM's schedules; for folded ones the eight steps of DeepSeek's DualPipe repository.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from solver.training.schedules import Schedule

#: Forward, backward, and its two halves: gradients of inputs alone, and of weights.
What = Literal["F", "B", "I", "W"]
#: Device, micro-batch and chunk of one piece of work.
Piece = tuple[What, int, int]


class Span(NamedTuple):
    """One piece of work: what, on which device, of which micro-batch and chunk, from when to when [s]."""

    what: What
    device: int
    micro_batch: int
    chunk: int
    start: float
    end: float


@dataclass(frozen=True)
class ChunkPace:
    """Seconds of a device for one micro-batch and chunk: forward, backward, and the part of it for weights."""

    forward: float
    backward: float
    weights: float

    def of(self, what: What) -> float:
        """Seconds of a piece."""
        inputs = self.backward - self.weights
        return {"F": self.forward, "B": self.backward, "I": inputs, "W": self.weights}[what]


def play(schedule: Schedule, paces: Sequence[ChunkPace], micro_batches: int) -> list[Span]:
    """All pieces of a step.

    >>> spans = play(Schedule("1f1b"), [ChunkPace(1, 2, 1)] * 4, 8)
    >>> max(span.end for span in spans)  # (m + p - 1) (F + B)
    33.0
    """
    return _Player(schedule, paces, micro_batches).spans


class _Player:
    """A step while it is played."""

    def __init__(self, schedule: Schedule, paces: Sequence[ChunkPace], micro_batches: int) -> None:
        self.schedule, self.paces, self.micro_batches = schedule, paces, micro_batches
        self.stages = len(paces)
        self.ends: dict[tuple[What, int, int], float] = {}
        self.clock = [0.0] * self.stages
        self.spans: list[Span] = []
        self._play()

    def _play(self) -> None:
        """Every device in its own order; weights' gradients of zero bubble wait for idle time."""
        queues = [list(_order(self.schedule, self.stages, s, self.micro_batches)) for s in range(self.stages)]
        late: list[list[Piece]] = [[] for _ in range(self.stages)]
        while any(queues):
            ready = [(s, queue[0]) for s, queue in enumerate(queues) if queue and self._known(s, queue[0])]
            start, device = min((self._ready(s, piece), s) for s, piece in ready)
            while late[device] and self.clock[device] + self.paces[device].weights <= start + 1e-12:
                self._run(device, late[device].pop(0), self.clock[device])
            piece = queues[device].pop(0)
            self._run(device, piece, max(start, self.clock[device]))
            if self.schedule.kind == "zero-bubble" and piece[0] == "I":
                late[device].append(("W", *piece[1:]))
        for device, pieces in enumerate(late):
            for piece in pieces:
                self._run(device, piece, self.clock[device])

    def _position(self, device: int, chunk: int) -> int:
        """Place of a device's chunk on a micro-batch's way."""
        if self.schedule.kind == "dualpipe":
            return device if chunk == 0 else self.stages - 1 - device
        if self.schedule.kind == "dualpipe-v":
            return device if chunk == 0 else 2 * self.stages - 1 - device
        return chunk * self.stages + device

    def _needs(self, device: int, piece: Piece) -> tuple[What, int, int] | None:
        """What must have ended before a piece: its forward neighbour, or the backward pass behind it."""
        what, micro, chunk = piece
        place = self._position(device, chunk)
        if what == "F":
            return ("F", micro, place - 1) if place else None
        last = self.schedule.parts(self.stages) - 1
        return ("B", micro, place + 1) if what != "W" and place < last else ("F", micro, place)

    def _known(self, device: int, piece: Piece) -> bool:
        need = self._needs(device, piece)
        own = ("F", piece[1], self._position(device, piece[2]))
        return (need is None or need in self.ends) and (piece[0] == "F" or own in self.ends)

    def _ready(self, device: int, piece: Piece) -> float:
        need = self._needs(device, piece)
        return max(self.clock[device], self.ends[need] if need else 0.0)

    def _run(self, device: int, piece: Piece, start: float) -> None:
        what, micro, chunk = piece
        end = start + self.paces[device].of(what)
        self.spans.append(Span(what, device, micro, chunk, start, end))
        self.clock[device] = end
        self.ends["B" if what == "I" else what, micro, self._position(device, chunk)] = end


def _order(schedule: Schedule, stages: int, device: int, micro_batches: int) -> Iterator[Piece]:
    """Pieces of a device in the order of its schedule."""
    if schedule.folded:
        yield from _folded(schedule, stages, device, micro_batches)
        return
    chunks, total = schedule.chunks, micro_batches * schedule.chunks
    if schedule.kind == "gpipe":
        warm = total
    elif schedule.kind == "interleaved":
        warm = min(total, 2 * (stages - device - 1) + (chunks - 1) * stages)
    else:
        warm = min(total, stages - device - 1)

    def piece(what: What, number: int) -> Piece:
        group, rest = divmod(number, stages * chunks)
        chunk, within = divmod(rest, stages)
        return what, group * stages + within, chunk if what == "F" else chunks - 1 - chunk

    def plain(what: What, number: int) -> Piece:
        return "I" if what == "B" and schedule.kind == "zero-bubble" else what, number, 0

    make = piece if chunks > 1 else plain
    yield from (make("F", number) for number in range(warm))
    for number in range(total - warm):
        yield make("F", warm + number)
        yield make("B", number)
    yield from (make("B", number) for number in range(total - warm, total))


def _folded(schedule: Schedule, stages: int, device: int, micro_batches: int) -> Iterator[Piece]:
    """The eight steps of DualPipe: own direction first, then both at once, then the other one's backward passes."""
    two = schedule.copies == 2
    half = stages // 2 if two else stages
    rank = min(device, stages - 1 - device) if two else device
    own = int(two and device >= half)
    done: Counter[tuple[str, int]] = Counter()
    late: list[Piece] = []

    def take(what: What, phase: int) -> Piece:
        """The next piece of a phase; inputs' gradients leave those of weights for later."""
        chunk = phase ^ own
        number = done["F" if what == "F" else "B", phase]
        done["F" if what == "F" else "B", phase] += 1
        piece: Piece = (what, 2 * number + chunk if two else number, chunk)
        if what == "I":
            late.append(("W", *piece[1:]))
        return piece

    each = micro_batches // 2 if two else micro_batches
    before = half - rank - 1
    yield from (take("F", 0) for _ in range(2 * before))
    for _ in range(rank + 1):
        yield take("F", 0)
        yield take("F", 1)
    for _ in range(before):
        yield take("I", 1)
        yield late.pop(0)
        yield take("F", 1)
    for _ in range(each - 2 * half + rank + 1):
        yield from (take("F", 0), take("B", 1), take("F", 1), take("B", 0))
    for _ in range(before):
        yield from (take("B", 1), take("F", 1), take("B", 0))
    for number in range(rank + 1):
        split = 2 * number > rank + 1 or (number == (rank + 1) // 2 and rank % 2 == 1)
        yield take("I" if split else "B", 1)
        yield take("I" if split or number == (rank + 1) // 2 else "B", 0)
    for _ in range(before):
        yield late.pop(0)
        yield take("I", 0)
    yield from late
