"""Would the real engines start an exported plan? Their own checks, on the exported commands, without devices."""

from __future__ import annotations

from solver.export.start.commands import StartCommand, start_commands
from solver.export.start.verdicts import ENVIRONMENTS, EngineStart, StartVerdict, judge

__all__ = ["ENVIRONMENTS", "EngineStart", "StartCommand", "StartVerdict", "judge", "start_commands"]
