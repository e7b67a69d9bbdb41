"""Every class goes to pools that serve it, in shares that add up."""

from __future__ import annotations

import math
from collections.abc import Iterator

from solver.check.evidence import Evidence, differs


def shares_add_up(evidence: Evidence) -> Iterator[str]:
    """Each class is routed to every pool that serves it, in the roles they have, in the same shares as its companions.

    The prediction is of the same classes.
    """
    plan = evidence.plan
    classes = {c.name for c in plan.scenario.traffic.classes}
    for name in sorted(classes ^ plan.prediction.classes.keys()):
        yield f"class {name!r} is {'not predicted' if name in classes else 'predicted but does not exist'}"
    for name in sorted(classes ^ plan.routing.keys()):
        yield f"class {name!r} is {'not routed' if name in classes else 'routed but does not exist'}"
    for group in evidence.instance.groups:
        names = tuple(c.name for c in group.classes)
        pools = {(pool.role, pool.name) for pool in plan.pools if pool.serves == names}
        for name in names:
            table = plan.routing.get(name, {})
            routed = {(role, pool) for role, shares in table.items() for pool in shares}
            if routed != pools:
                yield f"class {name!r} is routed to {sorted(routed)}; the pools that serve it are {sorted(pools)}"
            for role, shares in table.items():
                if differs(math.fsum(shares.values()), 1.0):
                    yield f"the {role} shares of class {name!r} add up to {math.fsum(shares.values()):.6g}"
            if table != plan.routing.get(names[0]):
                yield f"classes {names[0]!r} and {name!r} share their pools but are routed differently"
