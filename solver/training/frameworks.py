"""What training frameworks can run: a layout leans on nothing that the one it is for lacks.

==============  ===========================================================================================================
framework       read from
==============  ===========================================================================================================
megatron        Megatron-LM at d98e8a64 (2026-08-22): training/arguments.py, core/transformer/transformer_config.py,
                core/pipeline_parallel; what is named here is in Megatron-Core 0.16 as well
torchtitan      torchtitan at b5bcd76c (2026-08-21): config/configs.py, distributed; PyTorch's pipelining schedules
any             everything that this program knows, whether or not anybody has it ready
==============  ===========================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from solver.errors import UnknownName
from solver.training.activations import Policy, policies
from solver.training.job import Exchange, TrainingJob, TrainingLayout
from solver.training.schedules import Kind


@dataclass(frozen=True)
class Framework:
    """What a framework can run.

    Attributes
    ----------
    schedules: of pipelines. exchanges: ways in which context-parallel ranks see all keys. zero: what copies may share in one
    pipeline of several stages. overlaps: schedules in which it hides the exchange of tokens.
    per_layer: whether each layer may have a policy of its own. reversible: whether layers may be reversed.
    light_dense: whether selective recomputation runs activation functions of dense FFNs again.
    """

    name: str
    schedules: tuple[Kind, ...]
    exchanges: tuple[Exchange, ...]
    zero: tuple[int, ...]
    overlaps: tuple[Kind, ...]
    per_layer: bool
    reversible: bool
    light_dense: bool

    def missing(self, layout: TrainingLayout, used: set[Policy]) -> Iterator[str]:
        """One sentence for each thing that a layout asks of a framework that lacks it.

        Parameters
        ----------
        used: policies of its layers.
        """
        kind = layout.schedule.kind
        if kind not in self.schedules:
            yield f"{self.name} has no schedule {kind}; it has {', '.join(self.schedules)}"
        if layout.cp > 1 and layout.exchange not in self.exchanges:
            yield f"{self.name} has no context parallelism by {layout.exchange}"
        if layout.zero not in self.zero:
            yield f"{self.name} has no ZeRO {layout.zero}; it has {', '.join(map(str, self.zero))}"
        if layout.overlap and kind not in self.overlaps:
            yield f"{self.name} hides no exchange of tokens under {kind}"
        if layout.overlap and "full" in used and not self.per_layer:
            yield f"{self.name} recomputes no whole layer while it hides the exchange of tokens"
        if len(used) > 1 and not self.per_layer:
            yield f"{self.name} has one activation policy for all layers, not {', '.join(sorted(used))}"
        if "reversible" in used and not self.reversible:
            yield f"{self.name} has no reversible layers"

    def policy_sets(self, job: TrainingJob) -> tuple[tuple[Policy, ...], ...]:
        """Sets of policies from which the layers of one layout may choose."""
        known = tuple(p for p in policies(job) if p != "reversible" or self.reversible)
        return (known,) if self.per_layer else tuple((policy,) for policy in known)


FRAMEWORKS = {
    one.name: one
    for one in (
        Framework(
            "megatron",
            ("1f1b", "interleaved"),
            ("ring", "gather"),
            (0, 1, 2, 3),
            ("1f1b", "interleaved"),
            per_layer=False,
            reversible=False,
            light_dense=False,
        ),
        Framework(
            "torchtitan",
            ("gpipe", "1f1b", "interleaved", "dualpipe-v"),
            ("gather",),
            (1, 2, 3),
            ("dualpipe-v",),
            per_layer=False,
            reversible=False,
            light_dense=True,
        ),
        Framework(
            "any",
            ("gpipe", "1f1b", "interleaved", "zero-bubble", "dualpipe", "dualpipe-v"),
            ("ring", "gather"),
            (0, 1, 2, 3),
            ("1f1b", "interleaved", "dualpipe", "dualpipe-v"),
            per_layer=True,
            reversible=True,
            light_dense=True,
        ),
    )
}


def framework(name: str) -> Framework:
    """A framework by name.

    Raises
    ------
    UnknownName: no such framework.
    """
    if name not in FRAMEWORKS:
        raise UnknownName("framework", name[:40], FRAMEWORKS)
    return FRAMEWORKS[name]
