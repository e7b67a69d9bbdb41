"""Experts to ranks: how many copies each expert gets and where they stand, with a proof of how good that is.

>>> from solver.experts import SlotGrid, place_experts, synthetic_loads
>>> placement = place_experts(synthetic_loads(moe_layers=2, experts=16), SlotGrid(ranks=4, slots=5))
>>> bool((placement.gap < 0.05).all())
True

====================== =============================================================================================
question               answer
====================== =============================================================================================
loads from where?      :func:`read_loads`, :func:`synthetic_loads`, :meth:`Loads.of`
where do experts go?   :func:`place_experts`: one profile or several, ``even`` or ``nearest-node`` split
what if the load       :func:`drift_report`; :func:`rebalance` from a map in use within a budget of moved copies
changes?
nodes?                 :func:`trade_off`: balance against traffic, :meth:`TradeCurve.cheapest` by price;
                       :func:`homes_by_coactivation`
how does an engine     :func:`map_text`, :func:`read_map`
get it?
====================== =============================================================================================

Nothing here imports ortools before a program is solved.
"""

from __future__ import annotations

from solver.experts.bounds.certificate import Certificate
from solver.experts.drift import DriftReport, drift_report
from solver.experts.expert_map import ExpertMap
from solver.experts.files.engine_maps import MapEngine, map_text, read_map
from solver.experts.files.load_files import read_loads
from solver.experts.grid import SlotGrid
from solver.experts.loads import Loads
from solver.experts.nodes.coactivation import CoActivation, CoCounts, TokenSample, homes_by_coactivation
from solver.experts.nodes.trade import Price, TradeCurve, TradePoint, trade_off
from solver.experts.packing.pack import SwapBudget
from solver.experts.place import ExpertPlacement, place_experts
from solver.experts.rebalance import Rebalanced, rebalance
from solver.experts.splits import Split
from solver.experts.synthetic import synthetic_loads

__all__ = [
    "Certificate",
    "CoActivation",
    "CoCounts",
    "DriftReport",
    "ExpertMap",
    "ExpertPlacement",
    "Loads",
    "MapEngine",
    "Price",
    "Rebalanced",
    "SlotGrid",
    "Split",
    "SwapBudget",
    "TokenSample",
    "TradeCurve",
    "TradePoint",
    "drift_report",
    "homes_by_coactivation",
    "map_text",
    "place_experts",
    "read_loads",
    "read_map",
    "rebalance",
    "synthetic_loads",
    "trade_off",
]
