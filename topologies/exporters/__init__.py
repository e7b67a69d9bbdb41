"""Clusters as files for other tools: the counterpart of :mod:`topologies.importers`.

=====================  ==================================================================================
:func:`to_graphml`     the whole cluster, for networkx, Gephi, yEd; :func:`topologies.importers.read` reads it back
:func:`to_slurm`       ``topology.conf``: hosts under leaves (topology/tree), or scale-up domains (topology/block)
:func:`to_topograph`   a topograph model: both of these in one YAML file
=====================  ==================================================================================

Schedulers know a tree of switches, so leaves that serve the same hosts become one switch, and all spines one top;
bandwidths and devices are not told. :func:`topologies.save` writes the cluster file of rackplan itself.
"""

from topologies.exporters.graphml import to_graphml
from topologies.exporters.schedulers import to_slurm, to_topograph

__all__ = ["to_graphml", "to_slurm", "to_topograph"]
