"""Users as the command line gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solver.errors import BadInput
from solver.workload.fields import with_unit
from solver.workload.measures import TPOT_MEAN, Measure


def users_given(
    count: int | None, speed: float | None, think: str | None, promises: Mapping[Measure, str]
) -> dict[str, Any]:
    """Users of the (first) class; empty where none are given.

    Parameters
    ----------
    promises: that options make beside them.

    Raises
    ------
    BadInput: one of the three is missing, or the speed is promised twice.
    """
    given = {"--users": count, "--tokens-per-s-per-user": speed, "--think": with_unit("--think", think)}
    missing = [option for option, value in given.items() if value is None]
    if len(missing) == len(given):
        return {}
    if TPOT_MEAN in promises:
        raise BadInput("--tokens-per-s-per-user is a promise on the mean time per output token; leave --tpot-mean out")
    if missing:
        raise BadInput(f"users are a number, a speed and a time to think: add {' and '.join(missing)}")
    return dict(zip(("count", "tokens_per_s", "think"), given.values(), strict=True))
