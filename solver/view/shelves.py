"""Where the devices of a rack stand in its drawing, and the outline around each replica."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from solver.view.markup import number
from solver.view.racks import Rack, Tray
from solver.view.scene import Scene

#: Devices in one row of a tray.
COLUMNS = 8
#: Room for the name of a host, and around a rack.
LABEL, EDGE = 42, 6
GAP = 2
#: Narrowest and widest device: a rank fits into the one, the other is no longer read as one. LETTER: of what it says.
CELLS = (34, 60)
LETTER = 5.6
HEIGHT = 16


@dataclass(frozen=True)
class Fit:
    """How racks are drawn so that together they fill a width.

    Attributes
    ----------
    cell: width of a device [px].
    abreast: trays side by side, where there are fewer racks than there is room for.
    """

    cell: int = CELLS[0]
    abreast: int = 1

    @classmethod
    def of(cls, racks: Sequence[Rack], room: float, letters: int) -> Fit:
        """Fill so much room [px] with racks side by side, on whose devices so many letters are written at most."""
        columns = max(_columns(rack) for rack in racks)
        least = max(CELLS[0], int(LETTER * letters))
        narrow = cls(least).tray_width(columns) + EDGE + GAP
        beside = max(int(room // narrow), 1)
        # No rack has more trays side by side than it has trays.
        abreast = min(max(beside // len(racks), 1), max(len(rack.trays) for rack in racks))
        trays = min(len(racks), beside) * abreast
        cell = int((room / trays - LABEL - EDGE - GAP) / columns) - GAP
        return cls(max(min(cell, CELLS[1]), least), abreast)

    def tray_width(self, columns: int) -> int:
        """Width of a tray with its name [px]."""
        return LABEL + columns * (self.cell + GAP)


@dataclass(frozen=True)
class Spot:
    """Place of a device in a frame of devices: its tray's column, and its row and column from the frame's corner."""

    block: int
    row: int
    column: int

    def beside(self, down: int, right: int) -> Spot:
        """The place next to it in the same block."""
        return Spot(self.block, self.row + down, self.column + right)


@dataclass(frozen=True)
class Frame:
    """The trays of one scale-up domain, some side by side.

    Attributes
    ----------
    trays: each with its block and first row.
    spots: place of each device.
    rows, blocks: its size.
    """

    trays: tuple[tuple[Tray, Spot], ...]
    spots: Mapping[str, Spot]
    rows: int
    blocks: int


def frames(rack: Rack, abreast: int = 1) -> Iterator[Frame]:
    """The domains of a rack from the top down, their trays in reading order."""
    for _, members in itertools.groupby(rack.trays, key=lambda tray: tray.domain):
        trays = tuple(members)
        placed: list[tuple[Tray, Spot]] = []
        spots: dict[str, Spot] = {}
        row = 0
        for start in range(0, len(trays), abreast):
            line = trays[start : start + abreast]
            for block, tray in enumerate(line):
                placed.append((tray, Spot(block, row, 0)))
                for index, device in enumerate(tray.devices):
                    down, column = divmod(index, COLUMNS)
                    spots[device] = Spot(block, row + down, column)
            row += max(-(-len(tray.devices) // COLUMNS) for tray in line)
        yield Frame(tuple(placed), spots, row, min(abreast, len(trays)))


def _columns(rack: Rack) -> int:
    return min(COLUMNS, max(len(tray.devices) for tray in rack.trays))


def width_of(rack: Rack, fit: Fit) -> int:
    """Width of a rack's tray in a drawing [px]."""
    return fit.tray_width(_columns(rack))


def outline(scene: Scene, places: Mapping[Spot, tuple[str, float, float]], size: tuple[float, float], gap: float) -> str:
    """Path around the devices of each replica, in the middle of the gaps.

    Parameters
    ----------
    places: device of each spot, and its left upper corner.
    size: width and height of a device.
    """
    owner = {spot: scene.replica_on(device) for spot, (device, _, _) in places.items()}
    lines = []
    for spot, (_, x, y) in places.items():
        if owner[spot] is None:
            continue
        left, top, right, bottom = x - gap / 2, y - gap / 2, x + size[0] + gap / 2, y + size[1] + gap / 2
        sides = (
            (spot.beside(-1, 0), left, top, f"H{number(right)}"),
            (spot.beside(1, 0), left, bottom, f"H{number(right)}"),
            (spot.beside(0, -1), left, top, f"V{number(bottom)}"),
            (spot.beside(0, 1), right, top, f"V{number(bottom)}"),
        )
        for next_to, from_x, from_y, line in sides:
            if owner.get(next_to) != owner[spot]:
                lines.append(f"M{number(from_x)} {number(from_y)}{line}")
    # Neighbours share a side, which is drawn once.
    return "".join(dict.fromkeys(lines))
