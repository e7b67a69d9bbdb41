"""What is asked about the experts of one LLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solver.errors import BadInput
from solver.experts.files.load_files import read_loads
from solver.experts.grid import SlotGrid
from solver.experts.loads import Loads
from solver.experts.report.budget import MoveBudget


@dataclass(frozen=True)
class Question:
    """Where the experts go, and what else is wanted.

    Attributes
    ----------
    grid: ranks, slots and nodes.
    by_node: whether balance is to be traded against traffic between the nodes of the grid.
    groups: expert groups that live on one node; None: one for each node.
    most_off_node: share of tokens that may be served off their home node; None: the map cares for balance alone.
    current: file of the map in use, to be re-balanced within ``budget``.
    leave_one_out: whether the drift report also places for all profiles but one.
    """

    grid: SlotGrid
    by_node: bool = False
    groups: int | None = None
    most_off_node: float | None = None
    current: Path | None = None
    budget: MoveBudget = field(default_factory=MoveBudget)
    leave_one_out: bool = False

    def __post_init__(self) -> None:
        if not self.by_node and (self.groups is not None or self.most_off_node is not None):
            raise BadInput("expert groups and a limit on tokens off their home node need the number of ranks on a node")
        if self.current is not None and self.most_off_node is not None:
            raise BadInput("re-balancing a map in use does not look at nodes; leave out the limit on tokens off node")


def loads_for(paths: Sequence[Path], weights: Sequence[float] | None, dense_layers: Sequence[int]) -> Loads:
    """Load profiles in which only the first layers, or those named, may be empty.

    Raises
    ------
    BadFile: a file that holds no loads.
    BadInput: an empty layer behind the first layer with experts, or tokens in a layer said to be dense.
    """
    loads = read_loads(paths, weights)
    first = loads.moe_layers[0]
    names = ", ".join(loads.names)
    for layer in loads.dense_layers:
        if layer > first and layer not in dense_layers:
            raise BadInput(
                f"{names}: layer {layer} has no tokens, although layer {first} before it has some; "
                "if it holds no experts, name it among the dense layers"
            )
    for layer in dense_layers:
        if layer in loads.moe_layers:
            raise BadInput(f"{names}: layer {layer} is said to be dense, but its experts were sent tokens")
    return loads
