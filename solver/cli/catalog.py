"""``rackplan list`` and ``rackplan show``: what names there are, and a packaged scenario to start from."""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.errors import UnknownName

Row = dict[str, Any]

show = typer.Typer(help="Print what is packaged.", no_args_is_help=True)
app.add_typer(show, name="show")


@app.command(name="list", epilog="Example: rackplan list devices 'h*'")
def list_(
    kind: Annotated[str, typer.Argument(help="llms, devices, scenarios, engines or families.")],
    pattern: Annotated[str | None, typer.Argument(help="Part of a name, or a pattern such as 'qwen3*'.")] = None,
    as_json: AsJson = False,
) -> None:
    """List LLMs, devices, packaged scenarios, engines, or the families of LLMs that are read."""
    if kind not in _LISTS:
        raise UnknownName("kind of list", kind[:40], _LISTS)
    rows = [row for row in _LISTS[kind]() if _fits(row, pattern)]
    if pattern is not None and not rows:
        raise UnknownName(kind.removesuffix("s"), pattern[:80], [row["name"] for row in _LISTS[kind]()])
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        print(_table(rows))


@show.command(epilog="Example: rackplan show scenario llama-70b-16xh100 > mine.yaml")
def scenario(name: Annotated[str, typer.Argument(help="Name of a packaged scenario.")]) -> None:
    """Print a packaged scenario to start from."""
    from solver.workload.files import packaged

    if name not in packaged():
        raise UnknownName("scenario", name[:80], packaged())
    sys.stdout.write(files("solver").joinpath("scenarios", f"{name}.yaml").read_text(encoding="utf-8"))


@show.command(epilog="Example: rackplan show device h100")
def device(
    name: Annotated[str, typer.Argument(help="Name of a device of the catalog.")],
    as_json: AsJson = False,
) -> None:
    """Print every figure of a device with its source, and every price with its terms."""
    from dataclasses import asdict

    from topologies import device as named
    from topologies import list_prices

    found = named(name)
    prices = list_prices(found)
    if as_json:
        print(json.dumps(found.plain() | {"prices": [asdict(price) for price in prices]}, indent=1))
        return
    print(found.title)
    figures = {f"flops.{dtype}": value for dtype, value in found.flops.items()} | found.plain()
    rows = [
        {"figure": key, "value": figures[key], "source": source}
        for key, source in sorted(found.sources.items())
        if key in figures
    ]
    print(_table(rows))
    for price in prices or ("no price is known: give one under prices",):
        print(f"price: {price}")


def _llms() -> Iterable[Row]:
    from solver.llm import LLM, names

    for name in names():
        llm = LLM.from_config(name)
        yield {
            "name": name,
            "parameters_b": _rounded(llm.parameters / 1e9),
            "active_b": _rounded(llm.active_parameters() / 1e9),
            "weights_gb": _rounded(llm.weight_bytes / 1e9),
            "kv_bytes_per_token": round(llm.kv_bytes_per_token),
            "context": llm.max_context,
            "unverified": any("unverified" in note for note in llm.notes),
        }


def _devices() -> Iterable[Row]:
    from topologies import devices, list_prices
    from topologies.prices import COMPARABLE

    for one in devices().values():
        cheapest = {price.basis: price.usd_per_hour for price in reversed(list_prices(one))}
        yield {
            "name": one.name,
            "title": one.title,
            "bf16_tflops": _rounded(one.flops["bf16"] / 1e12),
            "fp8_tflops": _rounded(one.flops.get("fp8", 0.0) / 1e12) or None,
            "fp4_tflops": _rounded(one.flops.get("fp4", 0.0) / 1e12) or None,
            "hbm_gb": _rounded(one.hbm_bytes / 1e9),
            "hbm_tb_per_s": _rounded(one.hbm_bytes_per_s / 1e12),
            "scale_up_gb_per_s": _rounded(one.scale_up_bytes_per_s / 1e9),
            "domain": one.scale_up_domain,
            **{f"usd_per_h_{basis}".replace("-", "_"): cheapest.get(basis) for basis in COMPARABLE},
            "unverified": not one.verified,
        }


def _scenarios() -> Iterable[Row]:
    from solver.workload.files import packaged, read_content

    for name in packaged():
        content, _ = read_content(name)
        cluster = content["cluster"]
        built = ", ".join(
            f"{key}={value}" for key, value in cluster.items() if key != "builder" and isinstance(value, str | int)
        )
        yield {
            "name": name,
            "llm": content["llm"]["config"],
            "cluster": f"{cluster.get('builder', 'join')} {built}".strip(),
            "classes": len(content["traffic"]["classes"]),
            "objective": content.get("objective", "cost"),
            "engine": content.get("engine", "auto"),
        }


def _engines() -> Iterable[Row]:
    from solver.cost.calibration import packaged_calibrations
    from solver.engines import engine_names, engine_rules, engine_versions

    for name in engine_names():
        rules = engine_rules(name)
        measured = sorted(generation for engine, generation in packaged_calibrations() if engine == name)
        yield {
            "name": name,
            "title": rules.title,
            "versions": ", ".join(engine_versions(name)),
            "as_of": rules.as_of,
            "measured_on": ", ".join(measured) or None,
        }


def _families() -> Iterable[Row]:
    from solver.llm.config.families import FAMILIES

    for name, family in FAMILIES.items():
        yield {"name": name, "also": ", ".join(family.names) or None}


_LISTS: dict[str, Callable[[], Iterable[Row]]] = {
    "llms": _llms,
    "devices": _devices,
    "scenarios": _scenarios,
    "engines": _engines,
    "families": _families,
}


def _fits(row: Row, pattern: str | None) -> bool:
    if pattern is None:
        return True
    wanted = pattern.lower()
    whole = any(letter in wanted for letter in "*?[")
    return any(
        fnmatch.fnmatch(text, wanted) if whole else wanted in text
        for text in (str(row[key]).lower() for key in ("name", "title", "also") if key in row)
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _table(rows: list[Row]) -> str:
    """Columns with a heading; numbers to the right, nothing for None, a word for what is true."""
    if not rows:
        return ""
    columns = list(rows[0])
    cells = [[_cell(row[key], key) for key in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    numeric = [
        all(isinstance(row[key], int | float | None) and row[key] is not True for row in rows) for key in columns
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        for line in [columns, *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any, key: str) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return key
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
