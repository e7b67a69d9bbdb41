"""Traffic as it was recorded: trace files into request classes, reuse, idle times and streams of arrivals.

::

    summary = summarise("conversation.jsonl")        # one reading, bounded memory
    print(describe(summary))                         # rates, lengths, reuse, classes, broken lines
    traffic = classes(summary)                       # solver.workload.Traffic
    for request in arrivals("conversation.jsonl"):   # a stream for the simulator
        ...
"""

from solver.traces.drawing import charts
from solver.traces.groups import Group
from solver.traces.idle import ReuseTimes, reuse_times
from solver.traces.passes import summarise
from solver.traces.plain import to_json
from solver.traces.reading import Reading
from solver.traces.report import describe
from solver.traces.stream import Request, arrivals
from solver.traces.summary import TraceSummary, TrafficClass
from solver.traces.survival import Survival
from solver.traces.traffic import classes

__all__ = [
    "Group",
    "Reading",
    "Request",
    "ReuseTimes",
    "Survival",
    "TraceSummary",
    "TrafficClass",
    "arrivals",
    "charts",
    "classes",
    "describe",
    "reuse_times",
    "summarise",
    "to_json",
]
