"""Everything that the layout program demands, one function a rule."""

from solver.optimize.layout.rule import Rule
from solver.optimize.layout.rules.idle_kv import keeping, loads, room, served_with
from solver.optimize.layout.rules.packing import (
    device_limit,
    distinct_domains,
    fragments,
    host_packing,
    hosts,
    joint_contents,
    packing,
    patterns,
    rented_hosts,
)
from solver.optimize.layout.rules.pools import bands, one_column, pins, pools
from solver.optimize.layout.rules.service import demand, handover, least_rent, levels_of_modes, modes, splits
from solver.optimize.layout.rules.survival import survive

RULES: tuple[Rule, ...] = (
    bands,
    one_column,
    pools,
    pins,
    fragments,
    distinct_domains,
    packing,
    host_packing,
    patterns,
    joint_contents,
    hosts,
    rented_hosts,
    device_limit,
    modes,
    levels_of_modes,
    handover,
    splits,
    demand,
    least_rent,
    survive,
    keeping,
    loads,
    served_with,
    room,
)
