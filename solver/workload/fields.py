"""Field types of the files people write: numbers with units, read strictly and bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from solver.errors import BadInput, nearest
from solver.workload.faults import either, place_in, words
from topologies import units

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


def _reading(parser: Callable[[Any], float]) -> Callable[[Any], float]:
    """Turn the parser's BadInput into the ValueError that lets pydantic name the path inside the file."""

    def read(value: Any) -> float:
        if not isinstance(value, int | float | str):
            raise ValueError(f"expected a number with a unit, not {type(value).__name__}")
        try:
            return parser(value)
        except BadInput as error:
            raise ValueError(str(error)) from None

    return read


def with_unit(name: str, text: str | None) -> str | None:
    """A time as it was given.

    Raises
    ------
    BadInput: a bare number, which reads as seconds to some and as milliseconds to others.
    """
    if text is not None and text.strip().replace(".", "", 1).isdigit():
        raise BadInput(f"{name} {text}: say {text}ms or {text}s")
    return text


def _times(least: float) -> WithJsonSchema:
    """In files a time is a number of seconds, or a number with a unit."""
    number, spelt = {"type": "number", "minimum": least, "maximum": 1e9}, {"type": "string", "examples": ["30ms"]}
    return WithJsonSchema({"anyOf": [number, spelt]}, mode="validation")


Seconds = Annotated[float, BeforeValidator(_reading(units.seconds)), Field(ge=1e-12, le=1e9), _times(1e-12)]
#: A time that may be none.
Pause = Annotated[float, BeforeValidator(_reading(units.seconds)), Field(ge=0, le=1e9), _times(0)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Rate = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _OneLine(ModelMetaclass):
    """What Python gives to a record is refused as a file's content is: in one line."""

    if not TYPE_CHECKING:  # which would then check no argument of any record

        def __call__(self, *given, **fields):
            try:
                return super().__call__(*given, **fields)
            except ValidationError as error:
                raise BadInput(f"{self.__name__}: {_first_fault(self, error, fields)}") from None
            except TypeError as error:
                raise BadInput(f"{self.__name__}: {error}") from None


class Record(BaseModel, metaclass=_OneLine):
    """A frozen record that refuses unknown keys.

    Raises
    ------
    BadInput: a wrong key or value; names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(kind: type[AnyRecord], content: object, source: str) -> AnyRecord:
    """Validate ``content`` as ``kind``; the first fault becomes one line naming the source and the path inside it.

    Raises
    ------
    BadInput
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{source}: {_first_fault(kind, error, content)}") from None
    except RecursionError:
        raise BadInput(f"{source}: nested too deeply") from None


def _first_fault(kind: type[BaseModel], error: ValidationError, content: object) -> str:
    """One sentence for the first fault: where it is, what is wrong, what is known there."""
    faults = error.errors(include_url=False)
    places = [place_in(content, each) for each in faults]
    # Of what may be of several kinds the one is meant that was understood furthest.
    first = max((n for n, place in enumerate(places) if place[: len(places[0])] == places[0]), key=lambda n: len(places[n]))
    fault, path = faults[first], ".".join(str(part) for part in places[first])[:200]
    alike = [words(each) for each, place in zip(faults, places, strict=True) if place == places[first]]
    if fault["type"] == "extra_forbidden":
        key = str(fault["loc"][-1])
        known = _keys_at(kind, places[first][:-1])
        return f"{path[:200]}: unknown key" + (f"; nearest: {', '.join(nearest(key[:80], known))}" if known else "")
    message = either(alike)
    if fault["type"] == "missing":
        return f"{path}: {message}"
    given = fault.get("input")
    shown = "" if isinstance(given, dict | list | tuple | BaseModel) else f" (given {str(given)[:60]!r})"
    return f"{path}: {message[:300]}{shown}" if path else message[:300]


def _keys_at(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that the record at ``path`` accepts, spelt as in files."""
    for part in path:
        field = kind.model_fields.get(str(part)) or next(
            (f for f in kind.model_fields.values() if f.alias == part), None
        )
        inner = _record_in(field.annotation) if field else None
        if isinstance(part, int):
            continue
        if inner is None:
            return []
        kind = inner
    return [field.alias or name for name, field in kind.model_fields.items()]


def _record_in(annotation: Any) -> type[BaseModel] | None:
    """The first record type inside an annotation such as ``tuple[Record, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _record_in(inner))), None)
