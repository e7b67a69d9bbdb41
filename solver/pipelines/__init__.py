"""Request-level pipelines over unlike machines: each holds a run of layers, and tokens take any path through them.

====================== =============================================================================================
question               answer
====================== =============================================================================================
most tokens/s?         :func:`place_pipeline` on a :class:`Fleet`: greatest flow with a bound
flow against depth?    :func:`pipeline_curve`, :func:`serve_most`: with latency and room for KV caches
a given placement?     :func:`flow_through`
====================== =============================================================================================

Nothing here imports ortools before a program is solved.
"""

from __future__ import annotations

from solver.pipelines.cover import CoverPrices, flow_bound, refute
from solver.pipelines.machines import SINK, SOURCE, Fleet, Link
from solver.pipelines.plan import RequestPipeline, flow_through
from solver.pipelines.search import pipeline_curve, place_pipeline, serve_most
from solver.pipelines.stage_program import SearchLimits

__all__ = [
    "SINK",
    "SOURCE",
    "CoverPrices",
    "Fleet",
    "Link",
    "RequestPipeline",
    "SearchLimits",
    "flow_bound",
    "flow_through",
    "pipeline_curve",
    "place_pipeline",
    "refute",
    "serve_most",
]
