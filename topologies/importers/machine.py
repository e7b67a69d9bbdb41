"""One host as a file describes it, before any catalog is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One device of a machine.

    Attributes
    ----------
    name: such as ``gpu3``, in the order in which the host lists its devices.
    product: the product as the file spells it; empty where it does not.
    memory_bytes: what the file says of it [bytes]; 0 where nothing.
    peers: NVLinks to each other slot by name; None where the file does not tell.
    switched: whether it is on an NVSwitch; None where the file does not tell. switch_links: by how many NVLinks; 0 = untold.
    domain: label of a scale-up domain that reaches beyond the host; empty where there is none.
    nics: the NICs nearest to it by name; None where the file does not tell.
    trouble: why it must not be used; empty for a healthy device.
    """

    name: str
    product: str = ""
    memory_bytes: float = 0.0
    peers: Mapping[str, int] | None = None
    switched: bool | None = None
    switch_links: int = 0
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
    links: what its links are called: NVLink, or XGMI between AMD's devices.
    generation: of its devices, as in the catalog; empty where the file does not tell.
    """

    name: str
    slots: tuple[Slot, ...]
    nics: tuple[Nic, ...] = ()
    hint: str = ""
    coherent: bool | None = None
    named: bool = False
    links: Literal["NVLink", "XGMI"] = "NVLink"
    generation: str = ""

    @property
    def most_links(self) -> int:
        """Most links that any pair of its devices, or any device and its switches, show."""
        pairs = (count for slot in self.slots for count in (slot.peers or {}).values())
        return max((*pairs, *(slot.switch_links for slot in self.slots)), default=0)
