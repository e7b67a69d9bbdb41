"""Routes over a cluster: link loads, bandwidths of patterns, collectives.

:class:`Routes` (``table``) asks ``scale_up`` and ``torus`` inside domains and ``scale_out`` between them; ``exits``
says how a vertex gets onto the fabric, ``ecmp`` splits traffic, ``uniform`` counts patterns, ``collectives`` times
them.
"""

from topologies.routes.links import Links
from topologies.routes.table import FlowSum, Routes

__all__ = ["FlowSum", "Links", "Routes"]
