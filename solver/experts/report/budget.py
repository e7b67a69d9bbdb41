"""How many expert copies re-balancing may send, from how people say it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.errors import BadInput
from topologies import units


@dataclass(frozen=True)
class MoveBudget:
    """``10%`` of all copies, ``500`` copies, or ``20GB`` of weights when the size of an expert is known.

    Attributes
    ----------
    text: as it was written.
    expert_bytes: weights of one expert in one layer; None where nobody said.
    """

    text: str = "10%"
    expert_bytes: float | None = None

    def copies(self, all_copies: int) -> int:
        """The budget in copies, of ``all_copies`` that the map has.

        >>> MoveBudget("10%").copies(5000), MoveBudget("20GB", expert_bytes=44e6).copies(5000)
        (500, 454)
        """
        text = self.text.strip()
        if text.endswith("%"):
            return math.floor(share(text, "budget") * all_copies)
        if text.isdigit():
            return int(text)
        try:
            most_bytes = units.size(text)
        except BadInput as unclear:
            raise BadInput(
                f"budget {text[:40]!r}: write a share (10%), a number of copies (500) or a size (20GB)"
            ) from (unclear)
        if self.expert_bytes is None:
            raise BadInput(f"budget {text!r} is a size, so the size of one expert is needed too, such as 44MB")
        if self.expert_bytes <= 0 or most_bytes < 0:
            raise BadInput(f"budget {text!r} of experts of {self.expert_bytes:g} bytes: sizes must be above 0")
        return math.floor(most_bytes / self.expert_bytes)


def share(text: str, quantity: str) -> float:
    """Read ``10%`` or ``0.1`` as 0.1.

    >>> share("10%", "budget"), share("0.5", "budget")
    (0.1, 0.5)
    """
    bare = text.strip()
    try:
        value = float(bare.removesuffix("%")) / (100 if bare.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise BadInput(f"{quantity} {text[:40]!r} is not a share; write 10% or 0.1")
    return value
