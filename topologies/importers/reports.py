"""Products that a report about an environment names beside its tables.

::

    GPU 0,1,2,3: NVIDIA GB200                                  collect_env of PyTorch, vLLM and SGLang
    GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1a2b...)           nvidia-smi -L
    |   0  NVIDIA H100 80GB HBM3          On  | 00000000:19:00.0 Off |     the table of nvidia-smi
    GPU[0] : Card Series: AMD Instinct MI300X OAM              rocm-smi --showproductname
"""

from __future__ import annotations

import re

from topologies.importers.source import Source

_LISTED = re.compile(r"^[ \t]*GPU ([0-9][0-9, -]{0,200}):[ \t]+([A-Za-z][^\n(]{2,80}?)[ \t]*(?:\(UUID[^\n]*)?$", re.M)
_TABLE = re.compile(
    r"^\|[ \t]+([0-9]{1,3})[ \t]+((?:NVIDIA|Tesla|Quadro|GeForce)[^|\n.]{2,40}?)[ \t]+(?:On|Off|N/A)[ \t]*\|", re.M
)
_CARDS = re.compile(r"^GPU\[([0-9]{1,3})\][ \t]*:[ \t]*Card [Ss]eries:[ \t]*([A-Za-z][^\n]{2,80}?)[ \t]*$", re.M)
MAX_DEVICES = 1024


def reported(source: Source) -> dict[int, str]:
    """The product of each device by its number, as the report names it; empty for one that names none."""
    found: dict[int, str] = {}
    for numbers, product in (pair for form in (_LISTED, _TABLE, _CARDS) for pair in form.findall(source.text)):
        for number in _numbers(numbers):
            found.setdefault(number, product.strip())
    return found


def _numbers(text: str) -> list[int]:
    """``0,1,4-7`` as numbers.

    >>> _numbers("0,1,4-6")
    [0, 1, 4, 5, 6]
    """
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.strip().isdigit() or (last and not last.strip().isdigit()):
            return []
        low, high = int(first), int(last or first)
        if not low <= high < MAX_DEVICES:
            return []
        found += range(low, high + 1)
    return found
