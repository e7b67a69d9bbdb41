"""Pools as people write them: ``prefill 4 x tp1 pp2 on h200; decode 1 x dp16 ep16``."""

from __future__ import annotations

import re
from typing import Any

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.replica import ROLES
from solver.workload import PinnedPool

_DEGREE = re.compile(r"(tp|pp|ep|dp|moe_tp|cp)(\d+)")
_SETTING = re.compile(r"(chunk|batch)=?(\d+)")
_FORM = (
    "ROLE [REPLICAS x] DEGREES [on DEVICE] [chunk=N] [batch=N]; "
    "for example 'prefill 4 x tp1 pp2 on h200; decode 1 x dp16 ep16'"
)


def proposed_pools(text: str, instance: Instance, name: str = "--pools") -> tuple[PinnedPool, ...]:
    """Pools as people write them, separated by semicolons.

    Degrees that are not named are 1; moe_tp follows from the others.

    Parameters
    ----------
    name: of what holds the text, for messages.

    Raises
    ------
    BadInput: a word that is not understood.
    """
    pools = tuple(_pool(part.split(), part.strip(), instance, name) for part in text.split(";") if part.strip())
    if not pools:
        raise BadInput(f"{name} {text[:80]!r} names no pool: write {_FORM}")
    return pools


def _pool(words: list[str], text: str, instance: Instance, name: str) -> PinnedPool:
    role = words[0].rstrip(":") if words else ""
    if role not in ROLES:
        raise BadInput(f"{name} {text[:80]!r} starts with no role of {', '.join(ROLES)}: write {_FORM}")
    degrees: dict[str, int] = {}
    fields: dict[str, Any] = {"role": role}
    rest = iter(words[1:])
    for word in rest:
        if match := _DEGREE.fullmatch(word):
            degrees[match[1]] = int(match[2])
        elif match := _SETTING.fullmatch(word):
            fields[{"chunk": "chunk_tokens", "batch": "batch_per_rank"}[match[1]]] = int(match[2])
        elif word.rstrip("x").isdigit():
            fields["replicas"] = int(word.rstrip("x"))
        elif word == "on":
            fields["device"] = next(rest, "")
        elif word != "x":
            raise BadInput(f"{name}: {word[:40]!r} in {text[:80]!r} is not understood: write {_FORM}")
    known = [fleet.device.name for fleet in instance.fleets]
    if fields.get("device") not in (None, *known):
        raise BadInput(f"{name} {text[:80]!r}: the cluster has no {fields['device'][:40]!r}, only {', '.join(known)}")
    whole = {name: degrees.get(name, 1) for name in ("tp", "pp", "ep", "dp", "cp")}
    if instance.llm.experts:
        whole["moe_tp"] = degrees.get("moe_tp", max(whole["tp"] * whole["dp"] // whole["ep"], 1))
    return PinnedPool(parallelism=whole, **fields)
