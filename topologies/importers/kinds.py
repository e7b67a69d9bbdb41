"""Which device of the catalog each slot of a machine holds."""

from __future__ import annotations

from collections import Counter

from topologies.errors import BadInput
from topologies.hardware import Device, device, devices
from topologies.importers import products
from topologies.importers.fill import Fill
from topologies.importers.findings import Notes
from topologies.importers.machine import Machine


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
    """The device of a product, with the memory [bytes] that its name or the file tells where the catalog has another."""
    kind = products.find(product, told)
    if kind.name not in devices():
        what = f"product {product[:60]!r} with {kind.hbm_bytes / 1e9:.1f} GB is in no catalog"
        rate = f"{kind.hbm_bytes_per_s / 1e12:.3g} TB/s"
        notes.assume(f"{what}: taken as {kind.name} ({rate}), like the catalog's device of that name in all else")
    return kind


def _guessed(machine: Machine, notes: Notes) -> Device:
    """The device of a machine whose file names none: by the file's name, if its links agree; else it is asked for."""
    links = machine.most_links
    fitting = products.made_with(links, machine.coherent) if machine.links == "NVLink" else products.meshed()
    if machine.generation:
        fitting = [name for name in fitting if device(name).generation == machine.generation]
    named = products.named_in(machine.hint)
    if named and (named in fitting or not links):
        notes.assume(f"the file of {machine.name} names no product; taken as {named}, by the file's name")
        return device(named)
    what = f"{links} NVLinks" if machine.links == "NVLink" else "XGMI links"
    shown = f"its {what} fit {', '.join(fitting) or 'none of the catalog'}" if links else f"it shows no {machine.links}"
    example = fitting[0] if fitting else "mi300x" if machine.links == "XGMI" else "h100"
    raise BadInput(
        f"the file of host {machine.name[:80]!r} names no product, and {shown}; say which it is, such as device={example!r}"
    )
