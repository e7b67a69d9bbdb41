"""Clusters that people have: functions that return a graph ready for :func:`topologies.validate`."""

from topologies.builders.compose import join, mark_unhealthy
from topologies.builders.ethernet import fat_tree
from topologies.builders.nvlink import hgx, nvl72
from topologies.builders.registry import BUILDERS, build
from topologies.builders.torus import torus

__all__ = ["BUILDERS", "build", "fat_tree", "hgx", "join", "mark_unhealthy", "nvl72", "torus"]
