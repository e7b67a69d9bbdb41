"""One host as a file describes it, before any catalog is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One device of a machine.

    Attributes
    ----------
    name: such as ``gpu3``, in the order in which the host lists its devices.
    product: the product as the file spells it; empty where it does not.
    memory_bytes: what the file says of it [bytes]; 0 where nothing.
    peers: NVLinks to each other slot by name; None where the file does not tell.
    switched: whether it is on an NVSwitch; None where the file does not tell.
    domain: label of a scale-up domain that reaches beyond the host; empty where there is none.
    nics: the NICs nearest to it by name; None where the file does not tell.
    trouble: why it must not be used; empty for a healthy device.
    """

    name: str
    product: str = ""
    memory_bytes: float = 0.0
    peers: Mapping[str, int] | None = None
    switched: bool | None = None
    domain: str = ""
    nics: tuple[str, ...] | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Nic:
    """One NIC of a machine: its name, its speed [bytes/s, one direction] and its GUID, where the file tells them."""

    name: str
    bytes_per_s: float | None = None
    guid: str = ""


@dataclass(frozen=True)
class Machine:
    """One host.

    Attributes
    ----------
    name: of the host, or of the file that describes it.
    slots: its devices; nics: its NICs.
    hint: words that may name the product where the file itself does not.
    coherent: whether the devices share an address space with the CPU (Grace); None where the file does not tell.
    named: whether the name is the host's own.
    """

    name: str
    slots: tuple[Slot, ...]
    nics: tuple[Nic, ...] = ()
    hint: str = ""
    coherent: bool | None = None
    named: bool = False

    @property
    def most_links(self) -> int:
        """Most NVLinks that any pair of its devices shows."""
        return max((count for slot in self.slots for count in (slot.peers or {}).values()), default=0)
