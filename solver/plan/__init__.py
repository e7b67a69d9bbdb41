"""The result: a plan as a versioned record that other programs can read, and the files that hold it."""

from solver.plan.files import load, save
from solver.plan.schema import (
    SCHEMA_VERSION,
    Alternative,
    Binding,
    ExpertMap,
    KVTier,
    Latency,
    Limits,
    LinkLoad,
    Memory,
    Objective,
    Placed,
    Plan,
    Pool,
    Prediction,
    Provenance,
    Roofline,
    Stage,
)

__all__ = [
    "SCHEMA_VERSION",
    "Alternative",
    "Binding",
    "ExpertMap",
    "KVTier",
    "Latency",
    "Limits",
    "LinkLoad",
    "Memory",
    "Objective",
    "Placed",
    "Plan",
    "Pool",
    "Prediction",
    "Provenance",
    "Roofline",
    "Stage",
    "load",
    "save",
]
