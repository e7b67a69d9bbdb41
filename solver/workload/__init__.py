"""To whom the LLM is served: request classes, their promises, and the scenario file that holds all a solve depends on."""

from solver.workload.idle import Idle
from solver.workload.scenario import Constraints, LLMSpec, Options, PinnedPool, Scenario, Speculation
from solver.workload.traffic import SLO, RequestClass, Reuse, Traffic
from solver.workload.users import Users

__all__ = [
    "SLO",
    "Constraints",
    "Idle",
    "LLMSpec",
    "Options",
    "PinnedPool",
    "RequestClass",
    "Reuse",
    "Scenario",
    "Speculation",
    "Traffic",
    "Users",
]
