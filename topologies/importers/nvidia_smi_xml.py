"""``nvidia-smi -q -x``: products, memory, health and NVLink domains of one host.

A device that has joined a multi-node NVLink domain gives its ``clusterUuid`` and ``cliqueId``; devices of equal
uuid and clique reach each other, on whatever host they sit. A uuid of zeros with state Completed means that the
NVSwitches of the host itself join its devices (HGX and DGX).
"""

from __future__ import annotations

from topologies.importers.findings import Findings, Notes
from topologies.importers.machine import Machine, Slot
from topologies.importers.markup import Element, parse
from topologies.importers.source import Source

MAX_DEVICES = 1024
_UNTOLD = ("", "N/A", "[N/A]", "Not Supported", "Requested functionality has been deprecated")
_BROKEN = {
    ("ecc_errors", "unrepairable_memory"): "memory that cannot be repaired",
    ("ecc_errors", "channel_repair_pending"): "a pending repair of a memory channel",
    ("ecc_errors", "tpc_repair_pending"): "a pending repair of a processor cluster",
    ("ecc_errors", "aggregate", "sram_threshold_exceeded"): "more SRAM errors than allowed",
    ("retired_pages", "pending_retirement"): "a pending page retirement",
    ("retired_pages", "pending_blacklist"): "a pending page retirement",
    ("remapped_rows", "remapped_row_failure"): "a failed row remapping",
    ("remapped_rows", "remapped_row_pending"): "a pending row remapping",
    ("fabric", "health", "route_unhealthy"): "an unhealthy NVLink route",
}
_COUNTED = (
    ("ecc_errors", "volatile", "dram_uncorrectable"),
    ("ecc_errors", "volatile", "sram_uncorrectable"),
    ("ecc_errors", "volatile", "sram_uncorrectable_parity"),
    ("ecc_errors", "volatile", "sram_uncorrectable_secded"),
)


def read(source: Source, host: str) -> Findings:
    """One machine from the log.

    Raises
    ------
    BadInput: not such a log, or one without devices; names the line.
    """
    log = parse(source)
    if log.tag != "nvidia_smi_log":
        raise source.error(log.line, f"the root is <{log.tag[:40]}>; nvidia-smi -q -x writes <nvidia_smi_log>")
    found, notes = list(log.all("gpu")), Notes()
    if not found or len(found) > MAX_DEVICES:
        raise source.error(log.line, f"the log holds {len(found)} devices; 1 to {MAX_DEVICES:,} are expected")
    attached = log.value("attached_gpus")
    if attached.isdigit() and attached != str(len(found)):
        notes.fault(f"{source.name}: attached_gpus is {attached[:9]} but {len(found)} devices are listed")
    slots = tuple(_slot(source, gpu, f"gpu{index}", notes) for index, gpu in enumerate(found))
    machine = Machine(host, slots, hint=source.stem)
    return Findings(source.name, "nvidia-smi-xml", (machine,), faults=tuple(notes.faults))


def _slot(source: Source, gpu: Element, name: str, notes: Notes) -> Slot:
    where = f"{source.where(gpu.line)}: {name}"
    product = gpu.value("product_name")
    troubles = _troubles(gpu)
    if product in _UNTOLD or "error" in product.lower() or "err!" in product.lower():
        troubles.append(f"product_name is {product[:40]!r}, as of a device that the driver has lost")
        product = ""
    switched, domain, fabric_trouble = _fabric(source, gpu)
    troubles += fabric_trouble
    for path in _COUNTED:
        if (count := gpu.value(*path)).isdigit() and int(count[:18]):
            notes.fault(f"{where} has {path[-1]} {count[:18]} since the driver was loaded; it is kept")
    bandwidth = gpu.value("fabric", "health", "bandwidth")
    if bandwidth not in (*_UNTOLD, "Full"):
        notes.fault(f"{where} has NVLink bandwidth {bandwidth[:40]!r}; it is kept")
    return Slot(
        name=name,
        product=product,
        memory_bytes=_mebibytes(gpu.value("fb_memory_usage", "total")),
        switched=switched,
        domain=domain,
        trouble="; ".join(troubles),
    )


def _troubles(gpu: Element) -> list[str]:
    """Why a device must not be used, fabric aside."""
    found = [meaning for path, meaning in _BROKEN.items() if gpu.value(*path) in ("Yes", "True")]
    action = gpu.value("gpu_recovery_action")
    if action not in (*_UNTOLD, "None"):
        found.append(f"recovery action {action[:40]!r}")
    if gpu.value("mig_mode", "current_mig") == "Enabled":
        found.append("MIG, which divides it")
    return list(dict.fromkeys(found))


def _fabric(source: Source, gpu: Element) -> tuple[bool | None, str, list[str]]:
    """Whether the device is on an NVSwitch, the label of a domain beyond the host, and what is wrong with it."""
    state, status = gpu.value("fabric", "state"), gpu.value("fabric", "status")
    if state in _UNTOLD:
        return None, "", []
    if state != "Completed" or status not in (*_UNTOLD, "Success"):
        return False, "", [f"fabric state {state[:40]!r} with status {status[:40]!r}, so no NVLink"]
    if gpu.value("fabric", "health", "summary") == "Unhealthy":
        return True, "", ["an unhealthy NVLink fabric"]
    uuid, clique = gpu.value("fabric", "clusterUuid"), gpu.value("fabric", "cliqueId")
    if uuid in _UNTOLD or not uuid.strip("0-"):
        return True, "", []
    return True, source.name_at(gpu.line, f"{uuid}.{clique}"), []


def _mebibytes(text: str) -> float:
    number, _, unit = text.partition(" ")
    return float(number[:15]) * 2**20 if number.isdigit() and unit == "MiB" else 0.0
