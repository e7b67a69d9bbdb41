"""Product names and PCI ids as tools print them, and the devices that they mean.

A product that differs in a few numbers from a catalog device is a device of its own, made from it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from topologies.errors import UnknownName
from topologies.hardware import Device, device, devices

_A100_DATASHEET = "NVIDIA A100 datasheet (June 2021), table of specifications"
_PCIE4_X16 = 32e9
_VARIANTS: dict[str, dict[str, object]] = {
    "a100-40gb": {"hbm_bytes": 40e9, "hbm_usable_bytes": 0.0, "hbm_bytes_per_s": 1555e9},
    "a100-pcie-80gb": {
        "hbm_bytes_per_s": 1935e9,
        "scale_up_fabric": "pcie",
        "scale_up_bytes_per_s": _PCIE4_X16,
        "power_w": 300.0,
    },
    "a100-pcie-40gb": {
        "hbm_bytes": 40e9,
        "hbm_usable_bytes": 0.0,
        "hbm_bytes_per_s": 1555e9,
        "scale_up_fabric": "pcie",
        "scale_up_bytes_per_s": _PCIE4_X16,
        "power_w": 250.0,
    },
}


@dataclass(frozen=True)
class Rule:
    """A product is the device if its name has all words of ``words`` and none of ``without``."""

    device: str
    words: frozenset[str]
    without: frozenset[str] = frozenset()


def _rule(name: str, words: str, without: str = "") -> Rule:
    return Rule(name, frozenset(words.split()), frozenset(without.split()))


_RULES = (
    _rule("gb300", "gb300"),
    _rule("gb200", "gb200"),
    _rule("b300", "b300"),
    _rule("b200", "b200"),
    _rule("h200", "h200", "nvl"),
    _rule("h100", "h100", "pcie nvl hbm2e 64gb 94gb 96gb"),
    _rule("h800", "h800", "pcie nvl"),
    _rule("h20", "h20", "3e"),
    _rule("a100-pcie-40gb", "a100 pcie 40gb"),
    _rule("a100-pcie-80gb", "a100 pcie 80gb"),
    _rule("a100-40gb", "a100 40gb", "pcie"),
    _rule("a100", "a100", "pcie 40gb"),
    _rule("l40s", "l40s"),
    _rule("mi300x", "mi300x"),
    _rule("mi325x", "mi325x"),
    _rule("mi355x", "mi355x"),
)
_PARTS = frozenset({"mig"})
_PCI_IDS = {
    "0x20b0": "NVIDIA A100-SXM4-40GB",
    "0x20b2": "NVIDIA A100-SXM4-80GB",
    "0x20b5": "NVIDIA A100 80GB PCIe",
    "0x20f1": "NVIDIA A100-PCIE-40GB",
    "0x2237": "NVIDIA A10G",
    "0x2324": "NVIDIA H800",
    "0x2329": "NVIDIA H20",
    "0x2330": "NVIDIA H100 80GB HBM3",
    "0x2331": "NVIDIA H100 PCIe",
    "0x2335": "NVIDIA H200",
    "0x26b9": "NVIDIA L40S",
    "0x2901": "NVIDIA B200",
    "0x2941": "NVIDIA GB200",
    "0x31c2": "NVIDIA GB300",
    "0x1db1": "Tesla V100-SXM2-16GB",
    "0x1db5": "Tesla V100-SXM2-32GB",
}
_LINK_BYTES_PER_S = {"ampere": 25e9, "hopper": 25e9, "blackwell": 50e9, "rubin": 50e9}
_OTHER_LINK_BYTES_PER_S = 25e9


@functools.lru_cache(maxsize=1024)
def find(product: str) -> Device:
    """The device that a product name means.

    >>> find("NVIDIA H100 80GB HBM3").name, find("NVIDIA-A100-SXM4-40GB").hbm_bytes
    ('h100', 40000000000.0)

    Raises
    ------
    UnknownName: no catalog device is that product; names the three nearest.
    """
    if product.strip().lower() in devices():
        return device(product)
    words = set(re.split(r"[^a-z0-9]+", product.lower()))
    for rule in _RULES:
        if rule.words <= words and not (rule.without | _PARTS) & words:
            return variant(rule.device)
    hint = "; or say which it is, such as device='h200', or {'name': ..., 'like': 'h200', ...}"
    raise UnknownName("product", product[:80], devices(), hint)


def variant(name: str) -> Device:
    """A catalog device, or one made from it by :data:`_VARIANTS`."""
    if name not in _VARIANTS:
        return device(name)
    changed = _VARIANTS[name]
    sources = dict.fromkeys(changed, _A100_DATASHEET)
    return Device.parse({"name": name, "like": "a100", **changed, "sources": sources})


def by_pci_id(vendor: str, identifier: str) -> str:
    """The product behind a PCI id; empty for one that is not known here."""
    return _PCI_IDS.get(identifier.lower(), "") if vendor.lower() == "0x10de" else ""


def nvlink_bytes_per_s(kind: Device) -> float:
    """One NVLink of a device in one direction [bytes/s]: 25 GB/s up to Hopper, 50 GB/s from Blackwell on."""
    return _LINK_BYTES_PER_S.get(kind.generation, _OTHER_LINK_BYTES_PER_S)


def nvlinks(kind: Device) -> int:
    """NVLinks that the device is made with; 0 for one without.

    >>> nvlinks(device("a100")), nvlinks(device("h100")), nvlinks(device("b200")), nvlinks(device("l40s"))
    (12, 18, 18, 0)
    """
    if kind.scale_up_fabric != "switch":
        return 0
    return round(kind.scale_up_bytes_per_s / nvlink_bytes_per_s(kind))


def made_with(links: int, coherent: bool | None) -> list[str]:
    """NVIDIA devices of the catalog with that many NVLinks, on Grace or on PCIe where that is known."""
    return [
        one.name
        for one in devices().values()
        if one.vendor == "NVIDIA"
        and nvlinks(one) == links > 0
        and (coherent is None or coherent == (one.host_link == "c2c"))
    ]


def named_in(words: str) -> str:
    """The catalog device that some words name, such as those of a file's name; empty for none or several.

    >>> named_in("hgxh100-8gpu"), named_in("gb200-tray"), named_in("rack17")
    ('h100', 'gb200', '')
    """
    found = {
        name
        for name in devices()
        if re.search(rf"(?<![a-z0-9])(?:hgx|dgx)?{re.escape(name)}(?![a-z0-9])", words.lower())
    }
    return found.pop() if len(found) == 1 else ""
