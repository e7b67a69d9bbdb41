"""The package as a whole: light to import, the same every time, no more exported than meant."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import solver.experts as experts
from solver.experts import SlotGrid, SwapBudget, place_experts, synthetic_loads


def test_ortools_waits_until_a_program_is_solved() -> None:
    code = (
        "import sys; from solver.experts import SlotGrid, place_experts, synthetic_loads;"
        "place_experts(synthetic_loads(2, 64), SlotGrid(8, 10)); print('ortools' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("grid", [SlotGrid(8, 5), SlotGrid(16, 2), SlotGrid(4, 3)])
def test_a_seed_gives_the_same_placement(grid: SlotGrid) -> None:
    loads = synthetic_loads(2, min(32, grid.places * 3 // 4), seed=3)
    one, two = (place_experts(loads, grid, effort=SwapBudget(seed=5)) for _ in range(2))
    assert (one.map.slots == two.map.slots).all()
    assert np.array_equal(one.bound, two.bound)


def test_what_is_exported_is_what_is_meant() -> None:
    assert experts.__all__ == sorted(experts.__all__)
    assert all(hasattr(experts, name) for name in experts.__all__)
