"""Calibrations: the few measured numbers that turn the roofline into an engine on a machine.

A kernel takes ``launch + (compute^p + memory^p)^(1/p) + moves x activations / HBM bandwidth``; a :class:`Kernel` holds
what was measured of it. A calibration is a JSON file: for every parameter its value and what it was fitted on. ``ideal``
(every efficiency 1, every overhead 0) is the textbook roofline.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, reduce
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.cases import Surprise
from solver.errors import BadFile, UnknownName

#: Number formats whose kernels differ; every dtype of :mod:`solver.llm.dtypes` belongs to one.
FORMATS = ("bf16", "fp8", "fp8_block", "nvfp4", "mxfp4", "int4", "int8")


def _parameter(
    ideal: float,
    unit: str,
    low: float,
    high: float,
    meaning: str,
    tied: str = "both",
    typical: float | None = None,
    spread: float = 0.25,
) -> Any:
    """A number with its ideal value, physical range and sentence.

    Parameters
    ----------
    tied: calibrations that share one fitted value: those of an ``engine``, of a ``generation``, ``all``, or only those
        of ``both``.
    typical: where a fit to serving runs starts, before any run is seen; None = not fitted, kernel timings say it.
    spread: standard deviation of the logarithm that such a fit allows around it.
    """
    known = {
        "unit": unit,
        "low": low,
        "high": high,
        "meaning": meaning,
        "tied": tied,
        "typical": typical,
        "spread": spread,
    }
    return field(default=ideal, metadata=known)


@dataclass(frozen=True)
class Kernel:
    """What was measured of a family of kernels."""

    launch_s: float = _parameter(0, "s", 0, 1e-3, "launch and tail of each kernel")
    memory: float = _parameter(1, "1", 0.02, 1.3, "share of HBM bandwidth reached when reading weights or the KV cache")
    compute: float = _parameter(1, "1", 0.02, 1.3, "share of peak FLOP/s reached at large sizes")
    moves: float = _parameter(0, "1", 0, 100, "times that activations cross HBM")
    pace: float = _parameter(
        1, "1", 0.2, 3, "speed in serving over that of the timed kernel", "engine", 1.0, 0.1
    )


@dataclass(frozen=True)
class Kernels:
    """Kernels by the format of their weights."""

    bf16: Kernel = Kernel()
    fp8: Kernel = Kernel()
    fp8_block: Kernel = Kernel()
    nvfp4: Kernel = Kernel()
    mxfp4: Kernel = Kernel()
    int4: Kernel = Kernel()
    int8: Kernel = Kernel()


@dataclass(frozen=True)
class Spread:
    """How far fitted numbers may be from the truth: normal in their logarithms.

    Attributes
    ----------
    paths: of the fitted numbers (P,).
    factor: lower triangle L of their covariance L L^T, row by row (P, P).
    """

    paths: tuple[str, ...]
    factor: tuple[tuple[float, ...], ...]

    @property
    def lower(self) -> NDArray[np.float64]:
        """The factor as a matrix (P, P)."""
        found = np.zeros((len(self.paths), len(self.paths)))
        for place, row in enumerate(self.factor):
            found[place, : len(row)] = row
        return found


@dataclass(frozen=True)
class Calibration:
    """Parameters of one engine on one generation of devices; the defaults are the ideal roofline.

    :func:`parameters` lists every number by its path, such as ``experts.fp8_block.launch_s``, with unit, physical range
    and one sentence.
    """

    name: str = "ideal"
    engine: str = "ideal"
    generation: str = "any"
    fitted_on: str = "nothing: the textbook roofline"
    as_of: str = ""
    #: LLMs and devices of the serving runs, as ``llm on device``.
    measured: tuple[str, ...] = ()
    #: Device whose kernels were timed: others of its generation lose as many seconds per FLOP beyond their peak.
    timed_on: str = ""
    #: The release of the engine that the parameters are of.
    release: str = ""
    #: Other releases and what launches, latencies and host time took in them, relative to now.
    releases: tuple[tuple[str, float], ...] = ()
    #: What the fit left open.
    spread: Spread | None = None
    #: How runs of one's own surprised, beside what they moved in the numbers.
    learned: tuple[Surprise, ...] = ()

    gemm: Kernels = field(default=Kernels(), metadata={"meaning": "projections and dense FFN"})
    experts: Kernels = field(default=Kernels(), metadata={"meaning": "the fused mixture-of-experts kernel"})
    attention: Kernel = field(default=Kernel(), metadata={"meaning": "decode attention"})
    prompt_attention: Kernel = field(default=Kernel(), metadata={"meaning": "prefill attention"})
    latent_compute: float = _parameter(1, "1", 0.05, 1.1, "share of bf16 peak of decode attention over MLA's latent")
    prompt_fp8: float = _parameter(0, "1", 0, 1, "gain of prefill attention where keys and values are fp8")
    head_compute: float = _parameter(1, "1", 0.05, 1.1, "share of bf16 peak of the output head's GEMM")
    smoothness: float = _parameter(math.inf, "1", 1, math.inf, "p of the smooth maximum (compute^p + memory^p)^(1/p)")

    captured: float = _parameter(
        1, "1", 0.1, 3, "share of the isolated kernels' launches that a captured graph leaves", "both", 0.95, 0.15
    )
    prefill_launch: float = _parameter(
        0, "1", 0, 10, "further launch time, relative, in steps that carry prompts", "engine", 0.5, 0.2
    )
    layer_s: float = _parameter(
        0, "s", 0, 1e-3, "norms, residuals and rotary embedding of a layer", "generation", 5e-06, 0.25
    )
    activation_s: float = _parameter(0, "s", 0, 1e-3, "activation function between the two GEMMs of an FFN")
    head_norm_s: float = _parameter(
        0, "s", 0, 1e-3, "norms of queries and keys, where an LLM has them", "all", 6e-06, 0.25
    )
    recurrent_s: float = _parameter(
        0, "s", 0, 1e-2, "further kernels of a linear-attention layer", "all", 3.5e-05, 0.25
    )
    step_s: float = _parameter(0, "s", 0, 1e-1, "scheduler and sampler time of every step", "engine", 0.0005, 0.2)
    sequence_s: float = _parameter(0, "s", 0, 1e-3, "host time per running sequence and step", "engine", 5e-06, 0.2)

    scale_up: float = _parameter(1, "1", 0.1, 1.0, "share of scale-up bandwidth that collectives reach")
    scale_out: float = _parameter(1, "1", 0.1, 1.0, "share of scale-out bandwidth that transfers reach")
    all_reduce_s: float = _parameter(0, "s", 0, 1e-3, "latency of a two-rank all-reduce")
    all_reduce_growth: float = _parameter(
        0, "1", 0, 2, "growth of that latency for each further rank", "generation", 0.3, 0.3
    )
    gather_s: float = _parameter(
        0, "s", 0, 1e-3, "latency of an all-gather or reduce-scatter of data-parallel ranks", "engine", 6e-06, 0.3
    )
    dispatch_s: float = _parameter(0, "s", 0, 1e-2, "floor of an expert dispatch across nodes")
    combine_s: float = _parameter(0, "s", 0, 1e-2, "floor of an expert combine across nodes")
    hop_s: float = _parameter(0, "s", 0, 1e-2, "latency of sending activations to the next pipeline stage")

    imbalance: float = _parameter(
        1, "1", 1, 8, "hottest expert rank over the mean where no expert loads are recorded", "all", 1.3, 0.1
    )
    routing_scatter: float = _parameter(
        0, "1", 0, 2, "weight of the chance by which the hottest rank of a step exceeds its share"
    )
    routing_spread: float = _parameter(
        1, "1", 0.1, 1, "share of the tokens that choose their experts evenly and independently", "all", 0.85, 0.05
    )
    prefill_share: float = _parameter(
        1, "1", 0.1, 3, "share of a prompt's extra time that running requests feel", "engine", 1.0, 0.15
    )
    lockstep: float = _parameter(0, "1", 0, 1, "theta: dp ranks stall each other as dp^theta independent ranks would")

    server_s: float = _parameter(
        0, "s", 0, 10, "tokenizer and server before the first step of a request that is alone"
    )
    admission_s: float = _parameter(
        0, "s", 0, 10, "further time of server and scheduler before a request's first step, beside many others", "engine", 0.03,
        0.75,
    )  # fmt: skip
    admission_steps: float = _parameter(
        0,
        "1",
        0,
        50,
        "engine steps that pass before a request's first, besides the one in progress",
        "engine",
        1.5,
        0.5,
    )
    first_token: float = _parameter(
        1, "1", 0.5, 5, "time to the first token of a lone prompt over its engine steps", "engine", 1.35, 0.2
    )
    clumping: float = _parameter(
        0,
        "1",
        0,
        1,
        "closed loops: share of the other requests whose prompts are ahead in the queue",
        "engine",
        0.05,
        0.5,
    )
    burst_clumping: float = _parameter(
        0, "1", 0, 1, "the same where all requests were started at once", "engine", 0.04, 0.5
    )

    runtime_bytes: float = _parameter(0, "B", 0, 50e9, "HBM of the runtime: context, libraries, allocator slack")
    collective_bytes: float = _parameter(
        0, "B", 0, 50e9, "HBM of the communicators, for each doubling of the ranks of a stage up to eight"
    )
    graph_bytes: float = _parameter(0, "B", 0, 1e9, "HBM of one layer in one captured graph")
    activation_factor: float = _parameter(0, "1", 0, 100, "peak of live activations over those of the widest layer")

    def value(self, path: str) -> float:
        """The number at a path, such as ``gemm.fp8.memory``."""
        holder: Any = self
        return float(reduce(getattr, path.split("."), holder))

    def untouched(self) -> Calibration:
        """What kernel timings alone say: every number that serving runs were fitted to is back where a fit starts."""
        return self.with_values({path: k["typical"] for path, k in parameters().items() if k["typical"] is not None})

    def in_release(self, release: str | None) -> Calibration:
        """The same engine in an earlier release: every launch, latency and host time takes as much longer as it did then.

        None means the current one, which also stands in for those that were not measured: what one LLM lost or won in a release
        says little of another's.
        """
        factor = dict(self.releases).get(release or "", 1.0)
        if factor == 1:
            return self
        known = parameters()
        slower = {path: min(self.value(path) * factor, known[path]["high"]) for path in OF_A_RELEASE}
        return self.with_values(slower)

    def with_values(self, values: Mapping[str, float]) -> Calibration:
        """The same calibration with the numbers at some paths changed."""
        changed = self
        for path, value in values.items():
            changed = _put(changed, path.split("."), value)
        return changed

    @property
    def open_numbers(self) -> tuple[str, ...]:
        """What the fit left open, each by its path and by whom it is shared with."""
        paths = self.spread.paths if self.spread else ()
        return tuple(f"{path} of {owner(path, self.engine, self.generation)}" for path in paths)

    @classmethod
    def from_json(cls, content: object, source: str) -> Calibration:
        """Read a calibration; parameters that it leaves out keep their ideal value.

        Raises
        ------
        BadFile: naming the parameter and its physical range.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("parameters"), Mapping):
            raise BadFile(f"{source}: a calibration is an object with name, engine, generation and parameters")
        known = parameters()
        values: dict[str, float] = {}
        for path, entry in content["parameters"].items():
            if path in _SAID_ELSEWHERE:
                continue
            if path in _OF_THE_ENGINE:
                raise BadFile(
                    f"{source}: parameters.{path} is the engine's rule, not measured; leave it out and set "
                    f"options.memory_fraction in the scenario where it differs from the engine's default"
                )
            if path not in known:
                raise BadFile(f"{source}: {UnknownName('parameter', path, known)}")
            values[path] = _checked(entry, known[path], f"{source}: parameters.{path}")
        labels: dict[str, Any] = {key: str(content.get(key, "")) for key in _LABELS}
        measured = content.get("measured", ())
        if not isinstance(measured, list | tuple) or not all(isinstance(entry, str) for entry in measured):
            raise BadFile(f"{source}: measured lists texts such as 'llama-3.1-8b on h100'")
        return replace(
            cls().with_values(values),
            **labels,
            measured=tuple(measured),
            releases=_releases(content.get("releases", {}), source),
            spread=_spread(content.get("spread"), source),
            learned=_learned(content.get("learned", ()), source),
        )

    def doubt(self, llm: str, device: str) -> str | None:
        """Why predictions of an LLM on a device extrapolate; None where such runs were measured, or nothing ever was."""
        if not self.measured or any(_same(entry, llm, device) for entry in self.measured):
            return None
        return f"{self.engine} was not measured with {llm} on {device}"

    def to_json(self) -> dict[str, Any]:
        """The file's content: labels, then value, unit and meaning of every parameter that is not ideal."""
        ideal = Calibration()
        table = {
            path: {"value": self.value(path), "unit": known["unit"], "meaning": known["meaning"]}
            for path, known in parameters().items()
            if self.value(path) != ideal.value(path)
        }
        content: dict[str, Any] = {key: getattr(self, key) for key in _LABELS}
        if self.measured:
            content["measured"] = list(self.measured)
        content["parameters"] = table
        if self.releases:
            content["releases"] = dict(self.releases)
        if self.spread is not None:
            content["spread"] = {"paths": list(self.spread.paths), "factor": [list(row) for row in self.spread.factor]}
        if self.learned:
            content["learned"] = [each.plain() for each in self.learned]
        return content


def calibrations_from_json(content: object, source: str) -> dict[tuple[str, str], Calibration]:
    """Calibrations of a file, by engine and generation: one, or a list under ``calibrations``.

    Raises
    ------
    BadFile: naming the parameter and its physical range.
    """
    entries = content.get("calibrations") if isinstance(content, Mapping) and "calibrations" in content else [content]
    if not isinstance(entries, list):
        raise BadFile(f"{source}: calibrations must be a list")
    found = [Calibration.from_json(entry, source) for entry in entries]
    return {(cal.engine, cal.generation): cal for cal in found}


def _same(entry: str, llm: str, device: str) -> bool:
    """Whether an entry of ``measured`` is of this device and of this LLM in any precision."""
    name, _, where = entry.partition(" on ")
    return where == device and llm.startswith(name)


#: Parameters of earlier calibrations that engines' memory rules say now.
_OF_THE_ENGINE = ("memory_fraction", "kv_share")
#: What earlier calibrations said of their residuals, and of an indexer's kernels; :mod:`solver.cost.surprises` and
#: :mod:`solver.cost.steps.step` say it now.
_SAID_ELSEWHERE = ("tpot_sigma", "ttft_sigma", "throughput_sigma", "indexer_s")
#: The release of runs of which nothing was recorded.
UNKNOWN = "unknown"
_LABELS = ("name", "engine", "generation", "fitted_on", "as_of", "timed_on", "release")
#: What an engine's release changes in one ratio: launches, latencies and host time. Kernels stay what they are.
OF_A_RELEASE = (
    *("captured", "layer_s", "activation_s", "head_norm_s", "recurrent_s", "step_s", "sequence_s"),
    *("all_reduce_s", "gather_s", "dispatch_s", "combine_s"),
)


def _numbers(release: str) -> tuple[float, ...]:
    """The numbers of a version, a candidate before the release it leads to; none of a month, which names runs without one.

    >>> _numbers("1.2rc6") < _numbers("1.2") < _numbers("1.2.1"), _numbers("2026-02")
    (True, ())
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)*)(?:rc(\d+))?", release)
    if not found:
        return ()
    numbers = [float(part) for part in found[1].split(".")]
    return (*numbers[:-1], numbers[-1] - 1 / (2 + int(found[2])) if found[2] else numbers[-1])


def is_version(release: str) -> bool:
    """Whether a release is known by its number, not by the month of its runs.

    >>> is_version("0.5.9"), is_version("2026-02"), is_version("atom")
    (True, False, False)
    """
    return bool(_numbers(release))


def newest(releases: Collection[str], current: str) -> str:
    """The highest of some versions that is not above the current one; the latest month where there is none.

    >>> newest({"0.13", "0.9", "1.3", "2026-02"}, "0.33"), newest({"2025-10", "2025-11"}, "0.33")
    ('0.13', '2025-11')
    """
    return max(releases, key=lambda name: (_numbers(name) <= _numbers(current), _numbers(name), name))


def _releases(content: object, source: str) -> tuple[tuple[str, float], ...]:
    if not isinstance(content, Mapping) or not all(
        isinstance(value, int | float) and 0.1 <= value <= 10 for value in content.values()
    ):
        raise BadFile(f"{source}: releases maps names of releases to what their overheads took, 0.1 to 10 times today's")
    return tuple((str(name), float(value)) for name, value in content.items())


def _spread(content: object, source: str) -> Spread | None:
    if content is None:
        return None
    wrong = BadFile(f"{source}: spread has the paths of parameters, and the rows of a lower triangle as factor")
    if not isinstance(content, Mapping) or not {"paths", "factor"} <= set(content):
        raise wrong
    paths, factor = content["paths"], content["factor"]
    if not isinstance(paths, list) or not isinstance(factor, list) or len(paths) != len(factor):
        raise wrong
    for place, (path, row) in enumerate(zip(paths, factor, strict=True), start=1):
        numbers = isinstance(row, list) and all(isinstance(v, int | float) and abs(v) <= 10 for v in row)
        if path not in parameters() or not numbers or len(row) != place:
            raise wrong
    return Spread(tuple(paths), tuple(tuple(map(float, row)) for row in factor))


def _learned(content: object, source: str) -> tuple[Surprise, ...]:
    if not isinstance(content, list | tuple):
        raise BadFile(f"{source}: learned is a list of surprises, as rackplan learn writes it")
    return tuple(Surprise.read(row, source) for row in content)


def owner(path: str, engine: str, generation: str) -> str:
    """Whose a fitted number is: calibrations that agree in it share one value."""
    # AMD's devices run other kernels and other builds of an engine.
    of_engine = f"{engine} on {'cdna' if generation.startswith('cdna') else 'others'}"
    shared = {"all": "all", "engine": of_engine, "generation": generation}
    return shared.get(parameters()[path]["tied"], f"{engine} {generation}")


def _put(holder: Any, path: list[str], value: float) -> Any:
    """A frozen dataclass with the number at a path changed."""
    inner = value if len(path) == 1 else _put(getattr(holder, path[0]), path[1:], value)
    return replace(holder, **{path[0]: inner})


@cache
def parameters() -> dict[str, Mapping[str, Any]]:
    """Metadata (unit, low, high, meaning, tied, typical, spread) of every parameter by its path."""
    return dict(_paths(Calibration(), "", ""))


def _paths(holder: Any, prefix: str, subject: str) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for f in fields(holder):
        inner = getattr(holder, f.name)
        if isinstance(inner, Kernel | Kernels):
            label = f.metadata.get("meaning", f"{subject}, {f.name}" if subject else f.name)
            found += _paths(inner, f"{prefix}{f.name}.", label)
        elif f.metadata:
            meaning = f"{subject}: {f.metadata['meaning']}" if subject else f.metadata["meaning"]
            found.append((prefix + f.name, {**f.metadata, "meaning": meaning}))
    return found


def _checked(entry: object, known: Mapping[str, Any], where: str) -> float:
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    if isinstance(value, bool) or not isinstance(value, int | float) or not known["low"] <= value <= known["high"]:
        raise BadFile(
            f"{where} = {str(value)[:40]}: {known['meaning']} lies in {known['low']:g}..{known['high']:g} {known['unit']}"
        )
    return float(value)


@cache
def packaged_calibrations() -> dict[tuple[str, str], Calibration]:
    """Calibrations that come with rackplan, by engine and generation of devices."""
    folder = files(__package__).joinpath("calibrations")
    found = [
        Calibration.from_json(json.loads(entry.read_text(encoding="utf-8")), entry.name)
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".json")
    ]
    return {(c.engine, c.generation): c for c in found}


#: Generations without a calibration of their own borrow the one that resembles them most.
_BORROWS = {
    **dict.fromkeys(("volta", "turing", "ampere", "ada", "tpu", "trainium", "gaudi", "battlemage", "ascend"), "hopper"),
    **dict.fromkeys(("blackwell-rtx", "rubin"), "blackwell"),
    "cdna2": "cdna3",
    "cdna5": "cdna4",
}


def packaged(engine: str, generation: str) -> tuple[Calibration, str | None]:
    """The packaged calibration of an engine on a device generation, and why it extrapolates (None if it does not).

    Raises
    ------
    UnknownName: no calibration of that engine.
    """
    if engine == "ideal":
        return Calibration(), None
    table = packaged_calibrations()
    if (engine, generation) in table:
        return table[engine, generation], None
    if engine not in {e for e, _ in table}:
        raise UnknownName("engine", engine, sorted({e for e, _ in table} | {"ideal"}))
    lender = _BORROWS.get(generation, "hopper")
    if (engine, lender) not in table:
        lender = "hopper"
    return table[
        engine, lender
    ], f"{engine} was not measured on {generation} devices; its {lender} calibration stands in"
