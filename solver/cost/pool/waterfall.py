"""What a pool's device time is made of: from bare matrix products to what the plan counts on, one cause after the other.

Every line of the waterfall is the same pool at the same load under physics with one more cause in it, and what the cause
adds. So the parts add up to the whole by construction; which of two that overlap is blamed follows from the order::

    arithmetic         matrix products at the peak of the data sheet: what is left at a full batch of short contexts
    batch              weights read beyond what this arithmetic hides, and what else a batch of this size leaves idle
    KV cache           caches read; attention: FLOP over them (MLA's are as many as those of the matrices)
    GEMM kernels       what matrix products reach of the peaks
    attention kernels  what attention reaches of them, and how well arithmetic and reading overlap
    uneven experts     the fullest rank's experts over the mean
    network            collectives, and hops between stages
    launches           kernels, scheduler and sampler of every step
    waiting            prefill that is not busy all the time, so that prompts need not queue
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from solver.cost.calibration import Calibration
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service
from solver.cost.steps.speeds import Rate, Speeds
from topologies import Device

#: Causes in their order.
CAUSES = (
    *("arithmetic", "batch", "KV cache", "attention"),
    *("GEMM kernels", "attention kernels", "uneven experts", "network", "launches", "waiting"),
)
_MATRICES = ("project_in", "project_out", "dense", "shared", "experts", "plain")
_LATENCIES = ("all_reduce_s", "gather_s", "dispatch_s", "combine_s", "hop_s")
_GAPS = ("layer_s", "activation_s", "head_norm_s", "recurrent_s", "step_s", "sequence_s")
_NOTHING = np.zeros(1)
#: Running sequences among which a unified rank's arithmetic is that of tokens alone: few would mostly wait for prompts.
_ENDLESS = 1e9


@dataclass(frozen=True)
class Waterfall:
    """A pool's time by cause; either adds up to the whole.

    Attributes
    ----------
    device_s: seconds of all devices of a replica for one request, by cause. step_s: of its mean step.
    """

    device_s: dict[str, float]
    step_s: dict[str, float]


def waterfall(pool: PricedPool, service: Service, device: Device) -> Waterfall:
    """Take a pool's time apart at an operating point.

    Parameters
    ----------
    service: of the pool at its load, as it is planned.
    device: with the peaks of its data sheet.
    """
    prefills = pool.setup.role == "prefill"
    load = float((service.utilisation if prefills else service.batch)[0])
    busy = load if prefills else 1.0
    devices = pool.setup.parallelism.devices
    # Prompts that take no time have no scatter either, which nothing here reads.
    with np.errstate(divide="ignore", invalid="ignore"):
        stages = list(_stages(pool, device))
        served = [one.at_batch(load) for one in stages]
        floor = served[0] if prefills else stages[0].at_batch(_ENDLESS)
    taken = [devices * busy / float(one.requests_per_s[0]) for one in (floor, *served[1:])]
    taken.append(devices / float(service.requests_per_s[0]))
    steps = [float(one.step_s[0]) for one in served]
    return Waterfall(
        dict(zip(CAUSES, np.diff(taken, prepend=0.0).tolist(), strict=True)),
        dict(zip(CAUSES[:-1], np.diff(steps, prepend=0.0).tolist(), strict=True)),
    )


def _stages(pool: PricedPool, device: Device) -> Iterator[PricedPool]:
    """The pool under ever more of its physics."""
    replicas = pool.replicas
    own, sheet = replicas.speeds, Speeds.of(device, replicas.llm.precision, Calibration())
    even = replace(replicas.group, imbalance=np.ones_like(replicas.group.imbalance))

    def under(speeds: Speeds, measured: bool = False) -> PricedPool:
        group = replicas.group if measured else even
        return replace(pool, replicas=replace(replicas, speeds=speeds, group=group))

    quiet = _unconnected(sheet)
    reading = replace(quiet, attention=_only(sheet.attention, "byte"), prompt=_only(sheet.prompt), latent_flop=_NOTHING)
    weightless: dict[str, Any] = {name: _only(getattr(sheet, name), "flop") for name in _MATRICES}
    yield under(replace(reading, attention=_only(sheet.attention), **weightless))
    yield under(replace(reading, attention=_only(sheet.attention)))
    yield under(reading)
    yield under(quiet)
    kernels = (*_MATRICES, "attention", "prompt")
    gapless: dict[str, Any] = {name: replace(getattr(own, name), launch=_NOTHING) for name in kernels}
    smooth = replace(own, **gapless | dict.fromkeys(_GAPS, _NOTHING))
    yield under(replace(quiet, head_flop=own.head_flop, **{name: gapless[name] for name in _MATRICES}))
    yield under(_unconnected(smooth))
    yield under(_unconnected(smooth), measured=True)
    yield under(smooth, measured=True)
    yield pool


def _unconnected(speeds: Speeds) -> Speeds:
    """The same on a network that takes no time."""
    endless = np.array([np.inf])
    still: dict[str, Any] = dict.fromkeys(_LATENCIES, _NOTHING)
    return replace(speeds, scale_up=endless, scale_out=endless, **still)


def _only(rate: Rate, *kept: str) -> Rate:
    """A kernel of which only some terms take time."""
    names = ("flop", "byte", "move", "launch")
    return Rate(*(getattr(rate, name) if name in kept else _NOTHING for name in names))
