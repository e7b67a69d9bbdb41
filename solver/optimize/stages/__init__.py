"""Layers to the pipeline stages of a replica, and to the machines of an unlike fleet.

====================== =============================================================================================
question               answer
====================== =============================================================================================
where to cut?          :func:`cut_layers`: stages in a given order, exact, under the memory of each
which devices carry    :func:`assign_stages`: device type, domain and tp of every stage besides the cut, exact
which stage?
machines that share    :func:`place_pipeline` on a :class:`Fleet`: each machine holds a run of layers, tokens take any
no replica?            path; greatest flow with a bound. :func:`pipeline_curve`, :func:`serve_most`: flow against
                       depth, with latency and room for KV caches. :func:`flow_through`: a given placement
====================== =============================================================================================

Nothing here imports ortools before a program is solved.
"""

from __future__ import annotations

from solver.optimize.stages.contiguous import PlacedStage, StageCut, assign_stages, cut_layers
from solver.optimize.stages.fleet.cover import CoverPrices, flow_bound, refute
from solver.optimize.stages.fleet.machines import SINK, SOURCE, Fleet, Link
from solver.optimize.stages.fleet.plan import RequestPipeline, flow_through
from solver.optimize.stages.fleet.search import pipeline_curve, place_pipeline, serve_most
from solver.optimize.stages.fleet.stage_program import SearchLimits
from solver.optimize.stages.kinds import StageKind

__all__ = [
    "SINK",
    "SOURCE",
    "CoverPrices",
    "Fleet",
    "Link",
    "PlacedStage",
    "RequestPipeline",
    "SearchLimits",
    "StageCut",
    "StageKind",
    "assign_stages",
    "cut_layers",
    "flow_bound",
    "flow_through",
    "pipeline_curve",
    "place_pipeline",
    "refute",
    "serve_most",
]
