"""Every field of a training scenario, with what it means and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from solver.training.scenario import TrainingScenario


def field_lines() -> Iterator[str]:
    """One line for each field: ``path: meaning; example``."""
    for path, info in fields_of(TrainingScenario):
        yield f"{path}: {info.description}; {path}={_shown((info.examples or [''])[0])}"


def fields_of(kind: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field that holds no record of its own, by its path."""
    for name, info in kind.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and not info.examples:
            yield from fields_of(inner, f"{path}{name}.")
        else:
            yield path + name, info


def _shown(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example)
