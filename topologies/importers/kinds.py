"""Which device of the catalog each slot of a machine holds."""

from __future__ import annotations

from collections import Counter

from topologies.errors import BadInput
from topologies.hardware import Device, device, devices
from topologies.importers import products
from topologies.importers.fill import Fill
from topologies.importers.findings import Notes
from topologies.importers.machine import Machine

MEMORY_TOLERANCE = 0.05
"""How far the memory that a file tells may be from the catalog's before the file's is taken."""


def kinds_of(machine: Machine, fill: Fill, notes: Notes) -> dict[str, Device]:
    """The device in each slot, by the name of the slot.

    Raises
    ------
    UnknownName: a product that no catalog device is.
    BadInput: no product is named, and what the file shows fits none or several devices.
    """
    if fill.device is not None:
        return {slot.name: fill.device for slot in machine.slots}
    named = Counter(slot.product for slot in machine.slots if slot.product)
    if not named:
        guessed = _guessed(machine, notes)
        return {slot.name: guessed for slot in machine.slots}
    usual = named.most_common(1)[0][0]
    return {slot.name: _found(slot.product or usual, slot.memory_bytes, notes) for slot in machine.slots}


def _found(product: str, told: float, notes: Notes) -> Device:
    """The device of a product, with the memory [bytes] that the file tells where the catalog has another."""
    kind = products.find(product)
    if kind.name not in devices():
        notes.assume(f"product {product[:60]!r} is in no catalog: taken as {kind.name}, like a100 but for what differs")
        return kind
    if not told or abs(told / kind.hbm_usable_bytes - 1) <= MEMORY_TOLERANCE:
        return kind
    name = f"{kind.name}-{told / 1e9:.0f}gb"
    sizes = f"{told / 1e9:.1f} GB where the catalog has {kind.hbm_usable_bytes / 1e9:.1f} GB"
    notes.assume(f"product {product[:60]!r} has {sizes}: taken as {name}, like {kind.name} in all else")
    return Device.parse({"name": name, "like": kind.name, "hbm_bytes": told, "hbm_usable_bytes": told})


def _guessed(machine: Machine, notes: Notes) -> Device:
    """The device of a machine whose file names none: by its NVLinks and the name of the file."""
    links = machine.most_links
    fitting = products.made_with(links, machine.coherent)
    named = products.named_in(machine.hint)
    if named and (named in fitting or not links):
        notes.assume(f"the file of {machine.name} names no product; taken as {named}, by the file's name")
        return device(named)
    if len(fitting) == 1:
        notes.assume(
            f"the file of {machine.name} names no product; of the catalog only {fitting[0]} has {links} NVLinks"
        )
        return device(fitting[0])
    shown = f"its {links} NVLinks fit {', '.join(fitting) or 'none of the catalog'}" if links else "it shows no NVLink"
    raise BadInput(
        f"the file of host {machine.name[:80]!r} names no product, and {shown}; say which it is, such as device='h100'"
    )
