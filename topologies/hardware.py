"""What a device is: its peaks, memories, links and price, each number with its source.

Numbers live in ``catalog/devices.json``; a cluster may also bring devices of its own (:meth:`Device.parse`).
Peaks are dense: a vendor's sparse figure is twice as high and no serving engine reaches it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, get_args

from topologies import units
from topologies.errors import BadInput, UnknownName
from topologies.schema import MAX_DEVICES, MOST_AMOUNT

_RATES = {"": 1.0, "GFLOP/s": 1e9, "TFLOP/s": 1e12, "PFLOP/s": 1e15}
DTYPES = ("bf16", "fp8", "fp4", "int8")
Generation = Literal[
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell-rtx", "rubin", "cdna2", "cdna3", "cdna4", "cdna5",
    "tpu", "trainium", "gaudi", "battlemage", "ascend", "custom",
]  # fmt: skip
ScaleUpFabric = Literal["switch", "mesh", "torus", "pcie"]
HostLink = Literal["pcie", "c2c"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """One accelerator as a process sees it; SI units, bandwidths in one direction.

    Attributes
    ----------
    name: key in the catalog and in the cluster graph.
    flops: dense peak [FLOP/s] by dtype of the multiplied operands; a dtype that the device lacks is absent.
    hbm_bytes: capacity on the label [bytes]; vendors label GiB as GB.
    hbm_usable_bytes: what the driver gives to a process [bytes]; often above the decimal reading of the label.
    hbm_bytes_per_s: memory bandwidth [bytes/s].
    scale_up_fabric: switch (NVSwitch), mesh (each pair one link), torus, or pcie (no fabric of its own).
    scale_up_bytes_per_s: all scale-up links of the device together [bytes/s].
    scale_up_domain: devices in one default domain.
    scale_up_shape: sides of the default torus, empty otherwise.
    scale_out_bytes_per_s: its share of the host's NICs [bytes/s].
    devices_per_host: devices in one default host.
    host_dram_bytes: host memory per device [bytes].
    host_link: how it reaches host memory; host_link_bytes_per_s: how fast [bytes/s].
    flash_bytes_per_host: local flash of a default host [bytes]; flash_bytes_per_s: all drives of that host [bytes/s].
    power_w: rated power of the device [W]; power_all_in_w: provisioned with its share of host and cooling [W].
    usd_per_hour: price of a device of one's own [USD per device hour]. prices: the catalog's by source [USD per device
        hour]; :mod:`topologies.prices` knows their terms.
    verified: false where the numbers are announcements.
    sources: field name to where its number comes from and when.

    >>> device("h200").flops["fp8"], device("h200").scale_up_domain
    (1979000000000000.0, 8)
    """

    name: str
    flops: Mapping[str, float]
    hbm_bytes: float
    hbm_bytes_per_s: float
    scale_up_bytes_per_s: float
    scale_out_bytes_per_s: float
    title: str = ""
    vendor: str = ""
    generation: Generation = "custom"
    hbm_usable_bytes: float = 0.0
    scale_up_fabric: ScaleUpFabric = "switch"
    scale_up_domain: int = 8
    scale_up_shape: tuple[int, ...] = ()
    devices_per_host: int = 8
    host_dram_bytes: float = 256e9
    host_link: HostLink = "pcie"
    host_link_bytes_per_s: float = 64e9
    flash_bytes_per_host: float = 0.0
    flash_bytes_per_s: float = 0.0
    power_w: float | None = None
    power_all_in_w: float | None = None
    usd_per_hour: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    verified: bool = True
    notes: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.hbm_usable_bytes:
            object.__setattr__(self, "hbm_usable_bytes", self.hbm_bytes)
        _check(self)

    def __hash__(self) -> int:
        return hash((self.name, self.hbm_bytes, self.scale_up_domain))

    @property
    def scale_up_pair_bytes_per_s(self) -> float:
        """Most that one pair of neighbours exchanges in one direction [bytes/s].

        >>> device("mi300x").scale_up_pair_bytes_per_s, device("tpu-v5e").scale_up_pair_bytes_per_s
        (64000000000.0, 45000000000.0)
        """
        if self.scale_up_fabric == "mesh":
            return self.scale_up_bytes_per_s / max(1, self.scale_up_domain - 1)
        if self.scale_up_fabric == "torus":
            return self.scale_up_bytes_per_s / (2 * max(1, len(self.scale_up_shape)))
        return self.scale_up_bytes_per_s

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Device:
        """Make a device from plain data: SI numbers, or quantities with a unit (``141GB``, ``989TFLOP/s``).

        ``like`` names a catalog device whose numbers fill what is not given.

        >>> Device.parse({"name": "h200-pcie", "like": "h200", "scale_up_bytes_per_s": "64GB/s"}).hbm_bytes
        141000000000.0

        Raises
        ------
        BadInput: an unknown or missing field, or a number out of range.
        """
        if not isinstance(values, Mapping):
            raise BadInput(f"a device is given as a mapping of its fields, not as {type(values).__name__}")
        given = {key: value for key, value in values.items() if key != "like"}
        known = {entry.name: entry for entry in dataclasses.fields(cls)}
        for key in given:
            if key not in known:
                raise UnknownName("device field", str(key), known)
        if "like" in values:
            given = _like(device(values["like"]), given)
        missing = [key for key, entry in known.items() if _required(entry) and key not in given]
        if missing:
            raise BadInput(
                f"device {given.get('name', '?')!r} lacks {', '.join(missing)}; or start from one: like: h200"
            )
        return cls(**{key: _read(key, value) for key, value in given.items()})

    def plain(self) -> dict[str, Any]:
        """The device as data that JSON can hold; :meth:`parse` reads it back."""
        values = _as_dict(self)
        values["scale_up_shape"] = list(self.scale_up_shape)
        return values


def device(name: str) -> Device:
    """Return the catalog device of that name.

    >>> device("gb200").scale_up_domain
    72
    """
    if not isinstance(name, str):
        raise BadInput(f"a device is named by a string, not by {type(name).__name__}")
    found = devices().get(name) or devices().get(name.strip().lower())
    if found is None:
        raise UnknownName("device", name[:100], devices())
    return found


@functools.cache
def devices() -> dict[str, Device]:
    """All catalog devices by name."""
    catalog = json.loads(resources.files(__package__).joinpath("catalog/devices.json").read_text("utf-8"))
    cited = {key: f"{entry['title']} (as of {entry['as_of']})" for key, entry in catalog["sources"].items()}
    found = (_from_catalog(entry, cited) for entry in catalog["devices"])
    return {one.name: one for one in found}


def _from_catalog(entry: dict[str, Any], cited: Mapping[str, str]) -> Device:
    values = {key: entry[key] for key in ("name", "title", "vendor", "generation", "verified", "notes", "prices")}
    values |= {key: entry[key] for key in ("scale_up_fabric", "host_link")}
    values["scale_up_shape"] = tuple(entry.get("scale_up_shape", ()))
    quantities, flops = entry["quantities"], "flops."
    values["flops"] = {k.removeprefix(flops): q["value"] for k, q in quantities.items() if k.startswith(flops)}
    values |= {k: q["value"] for k, q in quantities.items() if not k.startswith(flops)}
    values["sources"] = {key: cited[quantity["source"]] for key, quantity in quantities.items()}
    return Device(**values)


def _as_dict(one: Device) -> dict[str, Any]:
    values = {entry.name: getattr(one, entry.name) for entry in dataclasses.fields(one)}
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _like(one: Device, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a device made from another; a memory of its own is usable in the same share, never above itself."""
    values = {**_as_dict(one), "sources": {}, "verified": False, "title": "", **given}
    if "hbm_bytes" in given and not given.get("hbm_usable_bytes"):
        label = _read("hbm_bytes", given["hbm_bytes"])
        share = min(1.0, one.hbm_usable_bytes / one.hbm_bytes)
        values["hbm_usable_bytes"] = label * share if isinstance(label, int | float) and 0 < label < 1e18 else 0.0
    return values


def _read(key: str, value: Any) -> Any:
    """A field as Python holds it, from one that may be spelled with its unit."""
    if key == "scale_up_shape" and isinstance(value, list):
        return tuple(value)
    if key == "flops" and isinstance(value, Mapping):
        return {dtype: units.parse(rate, _RATES, "rate") for dtype, rate in value.items()}
    if isinstance(value, str) and "bytes" in key:
        return units.bandwidth(value) if key.endswith("_per_s") else units.size(value)
    return value


def _required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


_POSITIVE = (
    "hbm_bytes",
    "hbm_usable_bytes",
    "hbm_bytes_per_s",
    "scale_up_bytes_per_s",
    "scale_out_bytes_per_s",
    "host_dram_bytes",
    "host_link_bytes_per_s",
)
_AT_LEAST_ZERO = ("flash_bytes_per_host", "flash_bytes_per_s")
_OPTIONAL = ("power_w", "power_all_in_w", "usd_per_hour")
_COUNTS = ("scale_up_domain", "devices_per_host")
_CHOICES = {"generation": Generation, "scale_up_fabric": ScaleUpFabric, "host_link": HostLink}


def _check(one: Device) -> None:
    if not isinstance(one.name, str) or not one.name:
        raise BadInput(f"a device needs a name, not {one.name!r}")
    where = f"device {one.name!r}"
    for key in _POSITIVE:
        _check_number(getattr(one, key), f"{where}: {key}", "above zero")
    for key in _AT_LEAST_ZERO:
        _check_number(getattr(one, key), f"{where}: {key}", "at least zero")
    for key in _OPTIONAL:
        if getattr(one, key) is not None:
            _check_number(getattr(one, key), f"{where}: {key}", "at least zero")
    for key in _COUNTS:
        value = getattr(one, key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_DEVICES:
            raise BadInput(
                f"{where}: {key} is {value!r:.60}; it must be a whole number of at least 1 and at most {MAX_DEVICES:,}"
            )
    for key, choice in _CHOICES.items():
        if getattr(one, key) not in get_args(choice):
            raise UnknownName(f"{key} of {where}", str(getattr(one, key)), get_args(choice))
    if not isinstance(one.flops, Mapping) or not one.flops:
        raise BadInput(f"{where}: flops must map a dtype to its dense FLOP/s, such as {{'bf16': 989e12}}")
    for dtype, value in one.flops.items():
        if dtype not in DTYPES:
            raise UnknownName(f"dtype in flops of {where}", str(dtype), DTYPES)
        _check_number(value, f"{where}: flops of {dtype}", "above zero")
    shape = one.scale_up_shape
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and 1 <= side <= MAX_DEVICES for side in shape):
        raise BadInput(f"{where}: scale_up_shape is {shape!r:.60}; it must list whole sides, such as [16, 16]")
    if one.scale_up_fabric == "torus" and not shape:
        raise BadInput(f"{where}: a torus needs scale_up_shape, such as [16, 16]")


def _check_number(value: object, what: str, limit: Literal["above zero", "at least zero"]) -> None:
    bare = isinstance(value, int | float) and not isinstance(value, bool)
    least = 1.0 if limit == "above zero" else 0.0
    if not bare or not (least <= value <= MOST_AMOUNT):  # type: ignore[operator]
        raise BadInput(f"{what} is {str(value)[:40]}; it must be a finite number from {least:g} to {MOST_AMOUNT:g}")
