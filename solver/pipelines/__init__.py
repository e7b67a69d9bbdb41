"""Request-level pipelines over unlike machines: each holds a run of layers, and tokens take any path through them.

====================== =============================================================================================
question               answer
====================== =============================================================================================
most tokens/s?         :func:`place_pipeline` on a :class:`UnlikeMachines`: greatest flow with a bound
flow against depth?    :func:`pipeline_curve`, :func:`serve_most`: with latency and room for KV caches
a given placement?     :func:`flow_through`
which file, what text? :func:`read_machines`, :func:`describe`, :func:`describe_curve`; ``rackplan pipelines``
====================== =============================================================================================

Nothing here imports ortools before a program is solved.
"""

from __future__ import annotations

from solver.pipelines.cover import CoverPrices, flow_bound, refute
from solver.pipelines.files import read_machines
from solver.pipelines.machines import SINK, SOURCE, Link, UnlikeMachines
from solver.pipelines.plan import RequestPipeline, flow_through
from solver.pipelines.search import pipeline_curve, place_pipeline, serve_most
from solver.pipelines.stage_program import SearchLimits
from solver.pipelines.text import describe, describe_curve

__all__ = [
    "SINK",
    "SOURCE",
    "CoverPrices",
    "Link",
    "RequestPipeline",
    "SearchLimits",
    "UnlikeMachines",
    "describe",
    "describe_curve",
    "flow_bound",
    "flow_through",
    "pipeline_curve",
    "place_pipeline",
    "read_machines",
    "refute",
    "serve_most",
]
