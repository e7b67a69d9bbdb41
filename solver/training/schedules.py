"""Pipeline schedules: how long devices wait, and how many micro-batches they hold meanwhile.

With t_s the time that device s works on one micro-batch (forward, backward, recomputation), an iteration of m
micro-batches takes ``m max_s t_s + rho (sum_s t_s - max_s t_s)``; rho is the share of the classic bubble that a schedule
leaves. F, B and W are forward, backward and weight-gradient times of a layer, G a forward and a backward that run at
once.

=============  ==========================================  ================================================
schedule       rho                                         micro-batches held by device s of p
=============  ==========================================  ================================================
gpipe          1                                           m
1f1b           1                                           min(m, p - s)
interleaved    1 / v                                       (2 (p - s - 1) + (v - 1) p + 1) / v, v chunks a device
zero-bubble    (F + B - 2 W) / (F + B)                     min(m, p - s)
dualpipe       (p/2 - 1) / (p - 1) (G + B - 3 W) / (F + B)  p + 1, of half the layers of a device
dualpipe-v     (G + B - 3 W) / (2 (F + B))                 2 p + 1, of half the layers of a device
=============  ==========================================  ================================================

Both DualPipes give device s two parts of the network, one from its front and one from its back, and run the forward
pass of one beside the backward pass of the other. DualPipe keeps two copies of the weights.

Source: Narayanan et al., arXiv:2104.04473; Korthikanti et al., arXiv:2205.05198 (interleaved memory); Qi et al.,
arXiv:2401.10241 (ZB-H1); DeepSeek-V3, arXiv:2412.19437, Table 2, and the DualPipe repository (DualPipeV).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from solver.errors import BadInput

Kind = Literal["gpipe", "1f1b", "interleaved", "zero-bubble", "dualpipe", "dualpipe-v"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Schedule:
    """A schedule.

    Attributes
    ----------
    chunks: v, parts of the network on each device; 1 unless interleaved.
    """

    kind: Kind
    chunks: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"training: there is no schedule {self.kind!r}; there are {', '.join(KINDS)}")
        if (self.chunks > 1) != (self.kind == "interleaved"):
            raise BadInput(
                f"training: {self.kind} with {self.chunks} chunks a device; only interleaved has more than one"
            )

    @property
    def folded(self) -> bool:
        """Whether a device has a part from the front and one from the back."""
        return self.kind in ("dualpipe", "dualpipe-v")

    @property
    def copies(self) -> int:
        """Copies of the weights that one pipeline holds."""
        return 2 if self.kind == "dualpipe" else 1

    def parts(self, devices: int) -> int:
        """Parts that the layers are cut into."""
        return devices * {"interleaved": self.chunks, "dualpipe-v": 2}.get(self.kind, 1)

    def legal(self, devices: int, micro_batches: int, layers: int) -> bool:
        """Whether a pipeline of so many devices can run so many micro-batches."""
        if self.kind == "interleaved":
            return devices > 1 and micro_batches % devices == 0 and layers + 2 >= self.parts(devices)
        if self.folded:
            enough = micro_batches >= 2 * devices and micro_batches % 2 == 0
            return devices > 1 and devices % 2 == 0 and enough and layers >= self.parts(devices)
        return devices <= layers and (devices > 1 or self.kind == "1f1b")

    def bubble(self, devices: int, forward: float, backward: float, weights: float, both: float) -> float:
        """rho; see the module."""
        whole = forward + backward
        if self.kind == "interleaved":
            return 1 / self.chunks
        if self.kind == "zero-bubble":
            return max(0.0, (whole - 2 * weights) / whole)
        if self.kind == "dualpipe":
            return (devices / 2 - 1) / (devices - 1) * max(0.0, both + backward - 3 * weights) / whole
        if self.kind == "dualpipe-v":
            return max(0.0, both + backward - 3 * weights) / (2 * whole)
        return 1.0

    def held(self, devices: int, device: int, micro_batches: int) -> float:
        """Micro-batches whose activations a device holds at most, in units of all its layers.

        >>> Schedule("interleaved", 3).held(8, 0, 64) / 8 == 1 + 7 / (8 * 3)
        True
        """
        if self.kind == "gpipe":
            return micro_batches
        if self.kind == "interleaved":
            chunks = 2 * (devices - device - 1) + (self.chunks - 1) * devices + 1
            return min(chunks / self.chunks, micro_batches)
        if self.folded:
            return min((self.parts(devices) + 1) / 2, micro_batches)
        return min(micro_batches, devices - device)

    def __str__(self) -> str:
        return f"{self.kind} x{self.chunks}" if self.chunks > 1 else self.kind
