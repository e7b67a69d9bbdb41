"""Names for what was counted: replicas, stages and ranks onto the vertices of the cluster.

A tensor-parallel group lies inside one scale-up domain, a replica over several takes domains that hang on the same
leaves. Several placements are offered, and the caller takes the one with the lowest rent, then the least busy link:
compact (few hosts), spread (a failure takes little of each pool, prefill beside decode), by unit (every set of leaves
gets its share of each pool), and, after a loss, in place (surviving replicas keep their devices).
"""

from solver.optimize.layout.mapping.place import Mapping, Unpackable, kinds_on, placements

__all__ = ["Mapping", "Unpackable", "kinds_on", "placements"]
