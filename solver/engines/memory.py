"""How an engine shares out a device's HBM between weights, KV cache and what it keeps aside.

``total``: the KV cache gets a share f of the whole HBM, less all that is in it (vLLM, ``gpu_memory_utilization``).
``free``: weights and KV cache get a share f of what is free once the process has started; activations and graphs live in
the rest (SGLang, ``mem_fraction_static``). ``rest``: the KV cache gets a share f of what weights and activations leave
(TensorRT-LLM, ``free_gpu_memory_fraction``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.replica import Setup
from topologies import Device

ShareOf = Literal["total", "free", "rest"]
MEBIBYTE = 2.0**20
#: The largest memory fraction that people set who mean to keep serving, whatever it is a share of.
MOST_FRACTION = 0.95


@dataclass(frozen=True)
class AutomaticReserve:
    """What SGLang keeps aside where nobody sets the fraction [MiB] (arg_groups/memory_hook.py:268-330).

    Attributes
    ----------
    fixed: whatever the layout.
    per_token: for each token of the largest step; a step counts ``least_tokens`` at least.
    per_device: for each device of the replica.
    per_captured: for each sequence of the largest captured batch; ``per_captured_dp`` of every attention-dp rank's.
    captured: sequences of that batch on fewer than four ranks, on more, and of an attention-dp rank.
    least: on devices with more than ``small_device``.
    """

    fixed: float
    per_token: float
    least_tokens: float
    per_device: float
    per_captured: float
    per_captured_dp: float
    captured: tuple[float, float, float]
    least: float
    small_device: float

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> AutomaticReserve:
        """The record of an engine's file."""
        few, many, each = content["captured"]
        return cls(**{**content, "captured": (few, many, each)})

    def of(self, hbm_bytes: float, setups: Sequence[Setup], tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Kept aside on each device [bytes] (R,).

        Parameters
        ----------
        tokens: of the largest step of a rank (R,).
        """
        few, many, each = self.captured
        shapes = [setup.parallelism for setup in setups]
        stage, dp = (np.array([getattr(shape, name) for shape in shapes], float) for name in ("ranks_per_stage", "dp"))
        devices = np.array([shape.devices for shape in shapes], float)
        # Attention-dp ranks pad their batches to each other's.
        graphs = np.where(dp > 1, self.per_captured_dp * each * dp, self.per_captured * np.where(stage < 4, few, many))
        kept = self.fixed + self.per_token * np.maximum(tokens, self.least_tokens) + self.per_device * devices + graphs
        floor = self.least if hbm_bytes > self.small_device * MEBIBYTE else 0.0
        return np.asarray(np.maximum(kept, floor) * MEBIBYTE)


@dataclass(frozen=True)
class EngineMemory:
    """An engine's rule.

    Attributes
    ----------
    share_of: what the fraction is a share of.
    fraction: the engine's default; None = from its automatic reserve.
    reserve: how the engine works out its default, where that depends on the layout.
    started: bytes of the runtime, and of communicators for each doubling of ranks, where this version's differ from those
        that the calibration knows.
    """

    share_of: ShareOf
    fraction: float | None
    source: str
    reserve: AutomaticReserve | None = None
    started: tuple[float, float] | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> EngineMemory:
        """The record of an engine's file."""
        reserve = content.get("reserve")
        automatic = AutomaticReserve.read(reserve) if reserve else None
        started = (content["runtime_bytes"], content["collective_bytes"]) if "runtime_bytes" in content else None
        return cls(content["share_of"], content["fraction"], content["source"], automatic, started)

    def fractions(self, device: Device, setups: Sequence[Setup], tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """The fraction that holds for each setup: its own, else the engine's default (R,).

        Parameters
        ----------
        tokens: of the largest step of a rank (R,).
        """
        hbm = device.hbm_usable_bytes
        if self.reserve is not None:
            default = np.round(np.clip(1 - self.reserve.of(hbm, setups, tokens) / hbm, 0.01, 1.0), 3)
        else:
            default = np.full(len(setups), self.fraction, float)
        own = np.array([np.nan if s.memory_fraction is None else s.memory_fraction for s in setups], float)
        return np.asarray(np.where(np.isnan(own), default, own))
