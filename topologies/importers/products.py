"""Product names and PCI ids as tools print them, and the devices that they mean.

A name is matched whole: every word of it must belong to the product, be one that vendors add, or tell the memory.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from topologies.errors import BadInput, UnknownName
from topologies.hardware import Device, device, devices

MEMORY_TOLERANCE = 0.08
"""How far the memory of a label or of a file may be from the catalog's, GB or GiB, before it is another device's."""


@dataclass(frozen=True)
class Product:
    """A device of the catalog and the words of its name.

    Attributes
    ----------
    words: all of them are in the name of the product. forms: any of these may be, ``form`` must be where it is set.
    """

    device: str
    words: frozenset[str]
    forms: frozenset[str] = frozenset()
    form: str = ""


_HBM = "hbm2 hbm2e hbm3 hbm3e"
_SXM = f"sxm sxm2 sxm3 sxm4 sxm5 sxm6 hgx dgx dgxs ac ts {_HBM}"


def _product(name: str, words: str, forms: str = "", form: str = "") -> Product:
    return Product(name, frozenset(words.split()), frozenset(forms.split()), form)


#: Products in the order in which they are tried: of devices that differ in memory alone, the usual first.
_PRODUCTS = (
    _product("gb300", "gb300", "nvl72 nvl4 dgx"),
    _product("gb200", "gb200", "nvl72 nvl4 dgx"),
    _product("b300", "b300", _SXM),
    _product("b200", "b200", _SXM),
    _product("h200", "h200", _SXM),
    _product("h200-nvl", "h200 nvl", f"pcie {_HBM}"),
    _product("h100", "h100", f"mega {_SXM}"),
    _product("h100-pcie", "h100 pcie", _HBM),
    _product("h100-nvl", "h100 nvl", f"pcie {_HBM}"),
    _product("gh200", "gh200", f"grace hopper superchip {_HBM}"),
    _product("gh200-144gb", "gh200", f"grace hopper superchip {_HBM}"),
    _product("h800", "h800", _SXM),
    _product("h20", "h20", _SXM),
    _product("h20-141gb", "h20", _SXM),
    _product("h20-141gb", "h20 3e", _SXM),
    _product("a100", "a100", _SXM),
    _product("a100-40gb", "a100", _SXM),
    _product("a100-pcie-80gb", "a100 pcie", "hbm2e"),
    _product("a100-pcie-40gb", "a100 pcie", "hbm2"),
    _product("a800", "a800", _SXM),
    _product("v100", "v100", _SXM),
    _product("v100-16gb", "v100", _SXM),
    *(_product(name, name, "pcie") for name in ("a10", "a10g", "a40", "l4", "l40", "l40s", "l20", "t4")),
    _product("a6000", "a6000", "rtx quadro"),
    _product("rtx6000-ada", "rtx 6000 ada", "generation"),
    _product("rtx3090", "rtx 3090"),
    _product("rtx4090", "rtx 4090"),
    _product("rtx5090", "rtx 5090"),
    _product("rtx-pro-6000", "rtx pro 6000", "blackwell server workstation max q edition"),
    _product("gb10", "gb10", "grace blackwell superchip"),
    _product("gb10", "dgx spark", "gb10"),
    *(
        _product(name, name, "oam o hf vf aqua vanjaram apu discrete")
        for name in ("mi250x", "mi300a", "mi300x", "mi308x", "mi325x", "mi350x", "mi355x", "mi455x")
    ),
    _product("gaudi3", "gaudi3", "hl 325l"),
    _product("gaudi3", "gaudi 3"),
    _product("b60", "arc pro b60"),
    _product("ascend-910c", "ascend 910c"),
    _product("ascend-910c", "ascend910c"),
    _product("tpu-v5e", "tpu v5 lite", "podslice device"),
    _product("tpu-v5p", "tpu v5p", "slice"),
    _product("tpu-v6e", "tpu v6e", "slice"),
    _product("tpu-v7", "tpu7x", "slice"),
    _product("tpu-v4", "tpu v4", "podslice"),
)
#: Words that vendors, buses and shops add to any name.
_NEUTRAL = frozenset(
    [
        "nvidia",
        "amd",
        "intel",
        "google",
        "aws",
        "huawei",
        "corporation",
        "advanced",
        "micro",
        "devices",
        "inc",
        "tesla",
        "geforce",
        "instinct",
        "gpu",
        "accelerator",
        "graphics",
        "device",
        "series",
        "rev",
        "a1",
        "ga100",
        "gh100",
        "gb100",
        "gb102",
        "gb110",
        "gb202",
        "ad102",
        "ad104",
        "ga102",
        "tu104",
        "gv100",
    ]
)
#: Words of a part of a device: MIG, time slices, vGPU.
_PARTS = frozenset({"mig", "shared", "grid", "vgpu", "virtual"})
_SLICE = re.compile(r"[-_ ]([0-9]+-)?[0-9]+[cqab](me)?$|\b[0-9]+g[.][0-9]+gb", re.IGNORECASE)
_MEMORY = re.compile(r"(?<![a-z0-9.])([0-9]{1,4}) ?(?:gib|gb|g)(?![a-z0-9])")
#: Memory of the CPU that a name of a superchip tells.
_CPU_MEMORY = {"gh200": (120, 480)}
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
#: NVLinks that a bridge between two cards carries; those of four lanes of GA102 are slower.
_BRIDGED = {"a100-pcie-80gb": 12, "a100-pcie-40gb": 12, "h100-pcie": 12, "a40": 4, "a6000": 4, "rtx3090": 4}
_CARD_LINKS = 4
_CARD_LINK_BYTES_PER_S = 14.0625e9


@functools.lru_cache(maxsize=1024)
def find(product: str, told: float = 0.0) -> Device:
    """The device that a product name means.

    Parameters
    ----------
    told: memory that a file tells of it [bytes]; 0 where it tells none.

    >>> find("NVIDIA H100 80GB HBM3").name, find("NVIDIA-A100-SXM4-40GB").name, find("NVIDIA A100-SXM-64GB").name
    ('h100', 'a100-40gb', 'a100-64gb')

    Raises
    ------
    UnknownName: no catalog device is that product; names the three nearest.
    BadInput: it is a slice of a device.
    """
    if product.strip().lower() in devices():
        return _sized([device(product)], 0.0, told)
    name = product.lower()
    if _PARTS & set(re.split(r"[^a-z0-9]+", name)) or _SLICE.search(name.strip()):
        raise BadInput(
            f"product {product[:80]!r} is a slice of a device (vGPU, MIG or shared), which no layout of an LLM is priced "
            "for; plan on whole devices, or give a device of your own: {name: ..., like: a100, hbm_bytes: ...}"
        )
    sizes = [int(size) for size in _MEMORY.findall(name)]
    words = set(re.split(r"[^a-z0-9]+", _MEMORY.sub(" ", name))) - {""}
    words |= {part for word in words for part in _parted(word)} if words & {"rtx3090", "rtx4090", "rtx5090"} else set()
    words = {word for word in words if not re.fullmatch(r"x?[0-9]{1,2}x?", word) or word in ("3",)} - {
        "rtx3090", "rtx4090", "rtx5090"
    }  # fmt: skip
    fitting = [one for one in _PRODUCTS if one.words <= words and words <= one.words | one.forms | _NEUTRAL]
    most = max((len(one.words) for one in fitting), default=0)
    found = [device(one.device) for one in fitting if len(one.words) == most]
    for core, memory in _CPU_MEMORY.items():
        sizes = [size for size in sizes if not (core in words and size in memory)]
    if not found or len(set(sizes)) > 1:
        hint = (
            "; or say which it is, such as device='h200', or a device of your own: "
            "{name: mine, like: h200, hbm_bytes: 96GB, ...}"
        )
        raise UnknownName("product", product[:80], devices(), hint)
    return _sized(found, sizes[0] * 1e9 if sizes else 0.0, told)


def _parted(word: str) -> tuple[str, ...]:
    return ("rtx", word[3:]) if word.startswith("rtx") else ()


def _sized(found: list[Device], label: float, told: float) -> Device:
    """Of devices that differ in memory, the one of the label's, else of the file's, else the usual one."""
    for size in (label, told):
        if not size:
            continue
        fits = [one for one in found if _alike(size, one.hbm_bytes) or _alike(size, one.hbm_usable_bytes)]
        return min(fits, key=lambda one: _distance(size, one)) if fits else _other(found[0], size, told)
    return found[0]


def _alike(size: float, other: float) -> bool:
    return abs(size / other - 1) <= MEMORY_TOLERANCE


def _distance(size: float, one: Device) -> float:
    return min(abs(size / one.hbm_bytes - 1), abs(size / one.hbm_usable_bytes - 1))


def _other(like: Device, size: float, told: float) -> Device:
    """A device of its own with that memory; less of it is fewer stacks, so that its bandwidth is less in proportion."""
    usable = told if told and _alike(told, size) else size
    bandwidth = like.hbm_bytes_per_s * min(1.0, size / like.hbm_bytes)
    given = {"hbm_bytes": size, "hbm_usable_bytes": usable, "hbm_bytes_per_s": bandwidth}
    base = re.sub(r"-[0-9]+gb$", "", like.name)
    return Device.parse({"name": f"{base}-{size / 1e9:.0f}gb", "like": like.name, **given})


def by_pci_id(vendor: str, identifier: str) -> str:
    """The product behind a PCI id; empty for one that is not known here."""
    return _PCI_IDS.get(identifier.lower(), "") if vendor.lower() == "0x10de" else ""


def nvlink_bytes_per_s(kind: Device) -> float:
    """One link of a device in one direction [bytes/s].

    25 GB/s up to Hopper, 50 GB/s from Blackwell on, 14 GB/s over the bridges of workstation cards; XGMI as in the catalog.
    """
    if kind.scale_up_fabric == "mesh":
        return kind.scale_up_pair_bytes_per_s
    if _BRIDGED.get(kind.name) == _CARD_LINKS:
        return _CARD_LINK_BYTES_PER_S
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
    """NVIDIA devices of the catalog with that many NVLinks, on Grace or on PCIe where that is known.

    >>> made_with(8, None), made_with(4, None)
    (['h800', 'a800'], ['a40', 'a6000', 'rtx3090'])
    """
    return [
        one.name
        for one in devices().values()
        if one.vendor == "NVIDIA"
        and _BRIDGED.get(one.name, nvlinks(one)) == links > 0
        and (coherent is None or coherent == (one.host_link == "c2c"))
    ]


def made_bridged(kind: Device) -> int:
    """NVLinks that a bridge of a card carries; 0 for a device without."""
    return _BRIDGED.get(kind.name, 0)


def meshed() -> list[str]:
    """AMD devices of the catalog, which XGMI joins."""
    return [one.name for one in devices().values() if one.vendor == "AMD"]


def is_bridged(kind: Device) -> bool:
    """Whether NVLink bridges join some cards of a host, so that a card without one is whole."""
    return kind.scale_up_fabric == "pcie" or kind.scale_up_domain < kind.devices_per_host


#: Names that may as well be the number of a file.
_ALSO_NUMBERS = frozenset({"t4", "l4", "a10", "a40", "l40", "l20", "b60"})


def named_in(words: str) -> str:
    """The catalog device that some words name, such as those of a file's name; empty for none or several.

    >>> named_in("hgxh100-8gpu"), named_in("gb200-tray"), named_in("rack17")
    ('h100', 'gb200', '')
    """
    found = {
        name
        for name in devices()
        if name not in _ALSO_NUMBERS
        and re.search(rf"(?<![a-z0-9])(?:hgx|dgx)?{re.escape(name)}(?![a-z0-9])", words.lower())
    }
    return found.pop() if len(found) == 1 else ""
