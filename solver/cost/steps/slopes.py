"""How fitted numbers of a calibration move the time of a step: what their covariance leaves open of a price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.speeds import Speeds
from solver.cost.surprises import parameter_normals
from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

Floats = NDArray[np.float64]

#: The step at which slopes are taken: running sequences of a rank, their context, and the prompt of a prefill [tokens].
BATCH, CONTEXT, PROMPT = 32.0, 2000.0, 2000.0
#: Width of the differences, in logarithms.
WIDTH = 1e-2


def open_times(llm: LLM, device: Device, calibration: Calibration, setups: Sequence[Setup]) -> Floats:
    """Logarithm of how much longer a usual step of each setup takes in every world, by what the fit left open of the
    calibration's numbers (S, DRAWS).

    Linear in the logarithms of the numbers.
    """
    if calibration.spread is None:
        return np.zeros((len(setups), 1))
    paths = calibration.spread.paths
    replicas = Replicas.of(llm, device, calibration, setups)

    def usual(moved: Calibration) -> Floats:
        speeds = Speeds.of(device, llm.precision, moved)
        group = replicas.group.with_imbalance(np.full(len(setups), moved.imbalance))
        there = replace(replicas, speeds=speeds, group=group)
        if setups[0].role == "prefill":
            return np.log(there.prompt_s(PROMPT, 0.0)[0])
        return np.log(there.decode_s(np.full(len(setups), BATCH), CONTEXT))

    before = usual(calibration)
    nudged = [usual(calibration.with_values({path: calibration.value(path) * np.exp(WIDTH)})) for path in paths]
    slopes = (np.stack(nudged, axis=1) - before[:, None]) / WIDTH
    return np.asarray(slopes @ calibration.spread.lower @ parameter_normals(calibration.open_numbers))
