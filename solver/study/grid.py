"""Sweeps: one scenario solved at every point of a grid over any of its fields, on processes or on Ray.

A point is solved by a pure function from JSON to JSON, so that it runs anywhere. Finished points go into a journal, one
line each, as they come: a sweep that was stopped, or whose workers were killed, goes on where it was.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from solver.errors import BadFile, BadInput, RackplanError
from solver.workload.files import MOST_BYTES, exists, parse_document, put, read_content, read_text
from topologies.writing import replacing, write_file

#: Times that a point may take its worker down before it is given up.
MOST_DEATHS = 3
#: More points than this are a mistake.
MOST_POINTS = 1_000_000
#: Figures of a point, in the order of the columns.
FIGURES = (
    "status",
    "usd_per_million_output_tokens",
    "usd_per_hour",
    "gap",
    "ttft_p95_s",
    "tpot_p95_s",
    "output_tokens_per_s",
    "devices",
    "layout",
    "reason",
)
Point = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """A scenario and the values that some of its fields take.

    Attributes
    ----------
    content: the scenario, as its file has it.
    folder: where its relative paths start.
    axes: values by path, such as ``slo.tpot_p95``.
    """

    content: Mapping[str, Any]
    folder: str
    axes: Mapping[str, Sequence[Any]]

    @classmethod
    def read(cls, path: str) -> Grid:
        """Read a grid file: ``scenario`` (name, file or content) and ``set`` (path to a list of values).

        Raises
        ------
        BadInput: naming what is missing or wrong.
        """
        content = parse_document(read_text(Path(path), MOST_BYTES), path)
        unknown = sorted(set(content) - {"scenario", "set"})
        if unknown or "scenario" not in content:
            raise BadInput(f"{path}: a grid has `scenario` and `set`" + (f", not {unknown[0]!r}" if unknown else ""))
        axes = content.get("set") or {}
        if not isinstance(axes, Mapping) or not all(isinstance(v, list) and v for v in axes.values()):
            raise BadInput(f"{path}: set maps paths to lists of values, such as slo.tpot_p95: [20ms, 30ms]")
        base, folder = content["scenario"], Path(path).parent
        if isinstance(base, str):
            beside = folder / base
            base, folder = read_content(str(beside) if exists(beside) else base)
        if not isinstance(base, Mapping):
            raise BadInput(f"{path}: scenario is a name, a file or a mapping")
        grid = cls(dict(base), str(folder), {str(key): list(values) for key, values in axes.items()})
        if grid.size > MOST_POINTS:
            raise BadInput(f"{path}: {grid.size:,} points; {MOST_POINTS:,} is the most")
        return grid

    @property
    def size(self) -> int:
        """Number of points."""
        count = 1
        for values in self.axes.values():
            count *= len(values)
        return count

    def points(self) -> Iterator[tuple[str, Point]]:
        """Every point with its key, in a fixed order; the last axis changes fastest."""
        for values in itertools.product(*self.axes.values()):
            point = dict(zip(self.axes, values, strict=True))
            yield _key(point), point

    def task(self, point: Point) -> str:
        """What a worker needs to solve a point, as JSON."""
        content = json.loads(json.dumps(self.content))
        for path, value in point.items():
            put(content, path, value)
        return json.dumps({"content": content, "folder": self.folder, "point": point})


def _key(point: Point) -> str:
    return hashlib.sha256(json.dumps(point, sort_keys=True).encode()).hexdigest()[:16]


def solve_point(task: str) -> str:
    """Solve one point: JSON in, JSON out; what is wrong with it is in the answer."""
    from solver.optimize.arithmetic.run import Effort
    from solver.optimize.solve import solve_scenario
    from solver.workload import Scenario

    given = json.loads(task)
    try:
        scenario = Scenario.from_mapping(given["content"], "sweep")
        outcome = solve_scenario(scenario, Effort(time_limit_s=20, workers=1), Path(given["folder"]))
    except RackplanError as error:
        return json.dumps({**given["point"], "status": "error", "reason": str(error)})
    row = {**given["point"], "status": outcome.status, "reason": outcome.reason}
    if outcome.found is not None:
        plan = outcome.found
        row |= {
            "usd_per_million_output_tokens": plan.objective.usd_per_million_output_tokens,
            "usd_per_hour": plan.objective.usd_per_hour,
            "gap": plan.objective.gap,
            "ttft_p95_s": plan.prediction.ttft_p95_s,
            "tpot_p95_s": plan.prediction.tpot_p95_s,
            "output_tokens_per_s": plan.prediction.output_tokens_per_s,
            "devices": plan.devices,
            "layout": "; ".join(f"{p.replicas} x {p.role} {p.parallelism.shape()} {p.device}" for p in plan.pools),
        }
    return json.dumps(row)


def sweep(
    grid: Grid,
    journal: Path,
    workers: int = 2,
    on: Literal["processes", "ray"] = "processes",
    told: Callable[[int, int], None] = lambda done, of: None,
    solve: Callable[[str], str] = solve_point,
) -> list[Point]:
    """Solve every point that the journal does not hold yet; all rows in the order of the grid.

    Parameters
    ----------
    journal: file of finished points, one JSON line each; it is continued.
    told: is told how many points are done, of how many.

    Raises
    ------
    BadInput: Ray is not installed.
    BadFile: the journal cannot be written, or is of another grid.
    """
    done = _finished(journal, grid)
    waiting = [(key, grid.task(point)) for key, point in grid.points() if key not in done]
    run = _on_ray if on == "ray" else _on_processes
    try:
        with journal.open("a", encoding="utf-8") as file:
            for key, answer in run(solve, waiting, workers):
                row = json.loads(answer)
                done[key] = row
                file.write(json.dumps({"key": key, "row": row}) + "\n")
                file.flush()
                told(len(done), grid.size)
    except OSError as error:
        raise BadFile(f"{journal}: cannot be written: {error.strerror}") from None
    return [done[key] for key, _ in grid.points() if key in done]


def _finished(journal: Path, grid: Grid) -> dict[str, Point]:
    """Rows of the journal; a last line that was cut off is left out."""
    if not journal.exists():
        return {}
    known = {key for key, _ in grid.points()}
    found: dict[str, Point] = {}
    lines = read_text(journal, 1 << 30).splitlines()
    for number, line in enumerate(lines):
        try:
            entry = json.loads(line)
            key, row = entry["key"], entry["row"]
        except (ValueError, KeyError, TypeError):
            if number == len(lines) - 1:
                break
            raise BadFile(f"{journal}: line {number + 1} is not a finished point") from None
        if key not in known:
            raise BadFile(f"{journal}: line {number + 1} is a point of another grid; use another output")
        found[key] = row
    if lines:
        text = "".join(json.dumps({"key": key, "row": row}) + "\n" for key, row in found.items())
        write_file(journal, text)
    return found


def _on_processes(
    solve: Callable[[str], str], tasks: Iterable[tuple[str, str]], workers: int
) -> Iterator[tuple[str, str]]:
    """Answers as they come; when a worker dies, what it held is tried again on new ones."""
    left = dict(tasks)
    deaths: dict[str, int] = {}
    while left:
        try:
            with ProcessPoolExecutor(workers) as pool:
                yield from _answers(pool, solve, left, workers)
        except BrokenProcessPool:
            for key in list(left)[: 2 * workers]:
                deaths[key] = deaths.get(key, 0) + 1
                if deaths[key] >= MOST_DEATHS:
                    point = json.loads(left.pop(key))["point"]
                    yield key, json.dumps({**point, "status": "error", "reason": "its worker died three times"})


def _answers(
    pool: ProcessPoolExecutor, solve: Callable[[str], str], left: dict[str, str], workers: int
) -> Iterator[tuple[str, str]]:
    """Keep twice as many tasks in flight as there are workers; finished ones leave ``left``."""
    source = iter(list(left.items()))
    flying: dict[Future[str], str] = {}
    for key, task in itertools.islice(source, 2 * workers):
        flying[pool.submit(solve, task)] = key
    while flying:
        ready, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in ready:
            key = flying.pop(future)
            answer = future.result()
            del left[key]
            yield key, answer
            for following, task in itertools.islice(source, 1):
                flying[pool.submit(solve, task)] = following


def _on_ray(solve: Callable[[str], str], tasks: Iterable[tuple[str, str]], workers: int) -> Iterator[tuple[str, str]]:
    """Answers as they come from a Ray cluster (the local machine where none is running); lost tasks are tried again."""
    try:
        import ray
    except ImportError:
        raise BadInput("--on ray needs Ray: pip install 'rackplan[ray]'") from None
    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    remote = ray.remote(max_retries=MOST_DEATHS)(solve)
    flying = {remote.remote(task): key for key, task in tasks}
    while flying:
        ready, _ = ray.wait(list(flying), num_returns=1)
        for reference in ready:
            yield flying.pop(reference), ray.get(reference)


def write_table(grid: Grid, rows: Sequence[Point], path: Path) -> None:
    """Write rows as .csv or .parquet.

    Raises
    ------
    BadFile: another suffix, a place that cannot be written, or Parquet without pyarrow.
    """
    columns = [*grid.axes, *FIGURES]
    table = [{name: row.get(name, "") for name in columns} for row in rows]
    if path.suffix not in (".csv", ".parquet"):
        raise BadFile(f"{path}: results are written as .csv or .parquet")
    try:
        with replacing(path) as place:
            if path.suffix == ".parquet":
                import pandas

                pandas.DataFrame(table, columns=columns).to_parquet(place)
                return
            with place.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(table)
    except ImportError:
        raise BadFile(f"{path}: Parquet needs pyarrow; write .csv, or pip install pyarrow") from None
