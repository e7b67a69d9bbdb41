"""How fast pools are at the load that a plan would give them, column by column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.cost.instance import Instance
from solver.cost.network.contention import slowed
from solver.cost.pool.most import PricedRows
from solver.optimize.layout.program import Market
from solver.replica import Engine, Role
from solver.space.candidates import price
from solver.space.profiles import Column
from solver.workload.measures import TPOT_P95, TTFT_P95

Floats = NDArray[np.float64]


def latencies(
    instance: Instance, engine: Engine, market: Market, scale_out: Mapping[str, float], columns: Sequence[Column]
) -> Floats:
    """TTFT (decode: TPOT) at the 95th percentile of each column (N,) [s], mean over requests: at the whole demand of its
    promise where it can serve that alone, else of its slowest class at the most that it serves.

    Parameters
    ----------
    scale_out: bandwidth at which devices of a kind are priced, where the fabric leaves them less than their NIC's.
    """
    found = np.array([column.wait for column in columns])
    if market.objective == "throughput":
        return found
    alike: dict[tuple[int, Role, str, int | None], list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        if column.rate * column.low >= market.needs[column.group].requests_per_s:
            alike[column.group, column.role, column.footprint.device, column.keeping].append(number)
    for (group, role, device, way), members in alike.items():
        mix = instance.groups[group].mix if way is None else market.keepings[way].mix
        fleet = slowed(instance.fleet(device), scale_out.get(device))
        rows = [columns[n].candidate for n in members]
        count = np.array([columns[n].low for n in members], float)
        prompts = np.array([row.setup.prompts_per_step for row in rows], float)
        priced = price(instance.llm, fleet, instance.calibration(engine, device)[0], rows)
        pools = PricedRows(role, priced, count, mix, prompts)
        service = pools.serving(market.needs[group].requests_per_s / count, np.array([columns[n].limit for n in members]))
        waits = service.latency(TPOT_P95 if role == "decode" else TTFT_P95)
        found[members] = waits @ (mix.share / mix.share.sum())
    return found
