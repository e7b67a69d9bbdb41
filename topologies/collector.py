"""Python's search for reference cycles, kept off large graphs that live as long as the work itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Objects made between two searches among the young; young ones between two of the middle-aged; those between two of all.
SELDOM = (50_000, 20, 100)

_lock = threading.Lock()
_inside = 0
_before = gc.get_threshold()


@contextmanager
def seldom() -> Iterator[None]:
    """Search seldom for reference cycles: where a cluster of 100,080 devices is built and routed, its millions of objects
    would be walked again and again, for an eighth of the whole time, and nothing be found.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = gc.get_threshold()
            if _before[0]:  # zero: whoever calls has switched the search off
                gc.set_threshold(*SELDOM)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                gc.set_threshold(*_before)
