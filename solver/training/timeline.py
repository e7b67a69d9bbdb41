"""A step of a pipeline, played: when each device does what, by the order of its schedule.

Devices take work in the order that the schedule gives them, as soon as what it needs has arrived. Backward passes are split
into gradients of activations and of weights where the schedule does so; a folded schedule takes whatever can run, backward
first. Nothing here decides a plan: it draws the schedule, and a test compares its length with the formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from solver.training.schedules import Schedule

What = Literal["F", "B", "W"]
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
class Pace:
    """Seconds of a device for one micro-batch and chunk: forward, backward, and the part of it for weights."""

    forward: float
    backward: float
    weights: float

    def of(self, what: What, split: bool) -> float:
        """Seconds of a piece; ``split`` leaves the weights' part to a piece of its own."""
        return {"F": self.forward, "B": self.backward - self.weights * split, "W": self.weights}[what]


def play(schedule: Schedule, paces: Sequence[Pace], micro_batches: int) -> list[Span]:
    """All pieces of a step.

    >>> spans = play(Schedule("1f1b"), [Pace(1, 2, 1)] * 4, 8)
    >>> max(span.end for span in spans)  # (m + p - 1) (F + B)
    33.0
    """
    player = _Player(schedule, paces, micro_batches)
    return player.folded() if schedule.folded else player.ordered()


class _Player:
    """A step while it is played."""

    def __init__(self, schedule: Schedule, paces: Sequence[Pace], micro_batches: int) -> None:
        self.schedule, self.paces, self.micro_batches = schedule, paces, micro_batches
        self.stages = len(paces)
        self.split = schedule.kind == "zero-bubble"
        self.ends: dict[tuple[What, int, int], float] = {}
        self.clock = [0.0] * self.stages
        self.spans: list[Span] = []

    def ordered(self) -> list[Span]:
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
            if self.split and piece[0] == "B":
                late[device].append(("W", *piece[1:]))
        for device, pieces in enumerate(late):
            for piece in pieces:
                self._run(device, piece, self.clock[device])
        return self.spans

    def folded(self) -> list[Span]:
        """Both directions of a folded schedule, backward first, within what a device may hold."""
        # with two copies even micro-batches enter at the first device, odd ones at the last
        sides = [range(2) if self.schedule.copies == 1 else (m % 2,) for m in range(self.micro_batches)]
        own: list[Piece] = [("F", m, c) for m, chunks in enumerate(sides) for c in chunks]
        waiting = [list(own) for _ in range(self.stages)]
        later: list[list[Piece]] = [[("B", m, c) for _, m, c in own] for _ in range(self.stages)]
        held = [0] * self.stages
        most = self.schedule.parts(self.stages) + 1
        while any(waiting) or any(later):
            options = []
            for s in range(self.stages):
                for order, pieces in enumerate((later[s], waiting[s] if held[s] < most else [])):
                    piece = next((p for p in pieces if self._known(s, p)), None)
                    if piece is not None:
                        options.append((max(self._ready(s, piece), self.clock[s]), order, s, piece))
            start, order, device, piece = min(options)
            (later if order == 0 else waiting)[device].remove(piece)
            held[device] += 1 if order else -1
            self._run(device, piece, start)
        return self.spans

    def _position(self, device: int, chunk: int) -> int:
        """Place of a device's chunk on a micro-batch's way."""
        if self.schedule.kind == "dualpipe":
            return device if chunk == 0 else self.stages - 1 - device
        if self.schedule.kind == "dualpipe-v":
            return device if chunk == 0 else 2 * self.stages - 1 - device
        return chunk * self.stages + device

    @property
    def _parts(self) -> int:
        return self.schedule.parts(self.stages)

    def _needs(self, device: int, piece: Piece) -> tuple[What, int, int] | None:
        """What must have ended before a piece: its forward neighbour, or the backward pass behind it."""
        what, micro, chunk = piece
        place = self._position(device, chunk)
        if what == "F":
            return ("F", micro, place - 1) if place else None
        return ("B", micro, place + 1) if place < self._parts - 1 else ("F", micro, place)

    def _known(self, device: int, piece: Piece) -> bool:
        need = self._needs(device, piece)
        own = ("F", piece[1], self._position(device, piece[2]))
        return (need is None or need in self.ends) and (piece[0] == "F" or own in self.ends)

    def _ready(self, device: int, piece: Piece) -> float:
        need = self._needs(device, piece)
        return max(self.clock[device], self.ends[need] if need else 0.0)

    def _run(self, device: int, piece: Piece, start: float) -> None:
        what, micro, chunk = piece
        end = start + self.paces[device].of(what, self.split)
        self.spans.append(Span(what, device, micro, chunk, start, end))
        self.clock[device] = end
        self.ends[what, micro, self._position(device, chunk)] = end


def _order(schedule: Schedule, stages: int, device: int, micro_batches: int) -> Iterator[Piece]:
    """Forward and backward pieces of a device in the order of Megatron's schedules."""
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
        return what, number, 0

    make = piece if chunks > 1 else plain
    yield from (make("F", number) for number in range(warm))
    for number in range(total - warm):
        yield make("F", warm + number)
        yield make("B", number)
    yield from (make("B", number) for number in range(total - warm, total))
