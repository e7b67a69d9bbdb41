"""What if the hardware were another: scale-up domains, the ratio of the two fabrics, HBM; each with a layout of its own.

A case takes a device of the catalog, changes it, builds racks of the domain in question out of the same number of
devices, and solves the scenario for the most traffic the whole cluster can sell (objective ``throughput``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import topologies
from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan, Pool
from solver.workload import Scenario

#: Devices of one host, as in the racks that exist.
TRAY = 4


@dataclass(frozen=True)
class Hardware:
    """A cluster that may not exist.

    Attributes
    ----------
    device: of the catalog, which gives everything that is not changed, the price too.
    devices: in all. domain: of a scale-up domain.
    fabric_ratio: scale-up over scale-out bandwidth of a device; None = the device's own.
    hbm_bytes: of a device; None = its own.
    """

    device: str
    devices: int
    domain: int
    fabric_ratio: float | None = None
    hbm_bytes: float | None = None

    def cluster(self) -> dict[str, Any]:
        """The cluster as a scenario has it.

        Raises
        ------
        BadInput: a domain that no number of hosts makes, or that does not divide the devices.
        """
        if self.domain < 1 or self.devices % self.domain or (self.domain > TRAY and self.domain % TRAY):
            raise BadInput(
                f"what-if: {self.devices} devices in domains of {self.domain}: domains must be whole hosts of {TRAY} and "
                "divide the devices"
            )
        base = topologies.device(self.device)
        spec: dict[str, Any] = {
            "name": self.name,
            "like": self.device,
            "scale_up_domain": self.domain,
            "devices_per_host": min(TRAY, self.domain),
            "usd_per_hour": base.usd_per_hour,
        }
        if self.fabric_ratio is not None:
            spec["scale_out_bytes_per_s"] = base.scale_up_bytes_per_s / self.fabric_ratio
        if self.hbm_bytes is not None:
            spec["hbm_bytes"] = self.hbm_bytes
            spec["hbm_usable_bytes"] = base.hbm_usable_bytes * self.hbm_bytes / base.hbm_bytes
        return {
            "builder": "nvl72",
            "racks": self.devices // self.domain,
            "trays_per_rack": max(1, self.domain // TRAY),
            "device": spec,
        }

    @property
    def name(self) -> str:
        """Name of the device that is meant."""
        parts = [self.device, f"x{self.domain}"]
        if self.fabric_ratio is not None:
            parts.append(f"ratio{self.fabric_ratio:g}")
        if self.hbm_bytes is not None:
            parts.append(f"{self.hbm_bytes / 1e9:.0f}GB")
        return "-".join(parts)


@dataclass(frozen=True)
class Case:
    """One cluster and the best plan on it; None where there is none.

    Attributes
    ----------
    because: why there is no plan.
    """

    hardware: Hardware
    plan: Plan | None
    because: str = ""

    @property
    def usd(self) -> float | None:
        """USD per million output tokens."""
        return None if self.plan is None else self.plan.objective.usd_per_million_output_tokens

    @property
    def decoding(self) -> Pool | None:
        """The pool that decodes most of the tokens."""
        if self.plan is None:
            return None
        pools = [pool for pool in self.plan.pools if pool.role != "prefill"]
        return max(pools, key=lambda pool: pool.replicas * pool.parallelism.shape().devices)

    @property
    def domains_crossed(self) -> int:
        """Scale-up domains over which the widest expert group of any pool is spread; 1 = experts stay inside."""
        if self.plan is None:
            return 0
        widest = max(pool.parallelism.shape().ranks_per_stage for pool in self.plan.pools)
        return -(-widest // self.hardware.domain)


def what_if(
    scenario: Scenario, hardware: Iterable[Hardware], effort: Effort | None = None, folder: Path = Path(".")
) -> Iterator[Case]:
    """The scenario on every cluster in turn; its own cluster and prices of devices are left aside."""
    for case in hardware:
        there = scenario.model_copy(update={"cluster": case.cluster(), "objective": "throughput"})
        outcome = solve_scenario(there, effort, folder)
        yield Case(case, outcome.found, outcome.reason)


def domains(device: str, devices: int, sizes: Sequence[int] = (8, 72, 144, 576)) -> list[Hardware]:
    """The same devices in scale-up domains of several sizes."""
    return [Hardware(device, devices, size) for size in sizes]


def fabric_ratios(device: str, devices: int, domain: int, ratios: Sequence[float]) -> list[Hardware]:
    """The same domains with scale-out fabrics of several speeds."""
    return [Hardware(device, devices, domain, fabric_ratio=ratio) for ratio in ratios]
