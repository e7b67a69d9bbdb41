"""``rackplan fidelity``: tables of runs, figures by hand, decisions by hand, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from solver.errors import BadFile
from solver.study.fidelity import Runs, packaged_for, predict, read_runs, report
from solver.study.fidelity.accuracy import accuracy, decisions
from solver.study.fidelity.held_out import predict_held_out
from solver.study.fidelity.runs import MeasuredRun, architecture, served_llm
from solver.study.fidelity.surprises import HALF_80, llms_counted, widening

SHARED = Path(__file__).parents[3] / "shared" / "data" / "measured"
HEADER = (
    "id,llm,device,engine,precision,prompt_tokens,output_tokens,concurrency,tp,"
    "ttft_ms,tpot_ms,output_tokens_per_s_per_device"
)


def written(folder: Path, *lines: str, header: str = HEADER) -> str:
    path = folder / "runs.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


RUN = "a,llama-3.1-8b,h100,vllm,bf16,1000,500,16,1,60,9.5,1600"


def test_errors_by_hand() -> None:
    found = accuracy(np.array([1.1, 2.0, 3.0]), np.array([1.0, 2.5, np.nan]), ["g", "g", "g"])
    assert (found.runs, found.mape, found.median) == (2, pytest.approx(0.15), pytest.approx(0.15))
    assert found.bias == pytest.approx((1.1 * 0.8) ** 0.5 - 1)


def run(tp: int, load: float, tpot: float, rate: float) -> MeasuredRun:
    return MeasuredRun(
        llm="llama-3.1-8b", device="h100", engine="vllm", prompt_tokens=1000, output_tokens=500, concurrency=load * tp, tp=tp,
        tpot_ms=tpot, output_tokens_per_s_per_device=rate,
    )  # fmt: skip


def test_decisions_by_hand() -> None:
    runs = [run(1, 8, 10, 700.0), run(2, 8, 7, 500.0), run(4, 8, 5, 490.0)]
    devices = np.array([1.0, 2, 4])
    right = decisions(runs, np.array([0.010, 0.007, 0.005]), np.array([700.0, 500, 490]), devices)
    assert (right.ordered, right.pairs) == (2, 2)  # the third pair is closer than 5 %
    assert right.regret == 0
    wrong = decisions(runs, np.array([0.010, 0.007, 0.005]), np.array([400.0, 500, 600]), devices)
    assert (wrong.ordered, wrong.pairs) == (0, 2)
    # tp4 is chosen at every bound: 490 of 500 at 8 ms, 490 of 700 at 12, 16, 24, 32 and 48 ms
    assert wrong.regret == pytest.approx((1 - 490 / 500 + 5 * (1 - 490 / 700)) / 6)
    slow = decisions(runs, np.full(3, 1.0), np.array([1.0, 1, 1]), devices)
    assert slow.choices == 6  # nothing is predicted to meet a bound, and still a layout is chosen


def test_a_table_is_read_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, *[RUN] * 8, RUN.replace("h100", "h1000"))
    runs = read_runs(path)
    assert len(runs.runs) == 8
    assert len(runs.skipped) == 1
    assert "h1000" in runs.skipped[0]
    calibrations, doubts = packaged_for(runs)
    found = report(runs, predict(runs, calibrations), calibrations)
    assert not doubts
    assert found.overall["tpot"].runs == 8
    assert found.overall["tpot"].mape < 0.25


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        ([RUN], HEADER.replace("llm,", "model,"), "no column llm"),
        ([], HEADER, "no run could be read"),
        ([RUN.replace("16,1,60", "-16,1,60")] * 3, HEADER, "concurrency"),
        ([RUN.replace("vllm", "vlm")] * 2, HEADER, "no run could be read"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, lines: list[str], header: str, said: str) -> None:
    with pytest.raises(BadFile) as caught:
        read_runs(written(tmp_path, *lines, header=header))
    assert said in str(caught.value)


def test_rows_that_cannot_be_read_are_listed_and_the_others_predicted(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, RUN, *[RUN.replace("vllm", "vlm")] * 5))
    assert len(runs.runs) == 1
    assert len(runs.skipped) == 5
    assert all("vlm" in line for line in runs.skipped)


RECORD = {
    "llm": "DeepSeek-R1", "device": "MI355X", "engine": "mori-sglang", "precision": "fp8", "prompt_tokens": 922,
    "output_tokens": 922, "concurrency": 64, "tp": 8, "tpot_ms": 20.0, "ttft_ms": 300.0, "statistic": "mean?",
    "output_tokens_per_s_per_device": 300.0, "dp": None,
}  # fmt: skip


def test_records_behind_other_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    named = [RECORD | {"engine": name} for name in ("mori-sglang", "dynamo-trt", "atom", "dynamo-vllm")]
    path.write_text(json.dumps([*named, RECORD | {"engine": "lightllm"}, 7]))
    runs = read_runs(str(path))
    assert [run.engine for run in runs.runs] == ["sglang", "trtllm", "sglang", "vllm"]
    assert [run.version for run in runs.runs] == ["mori-sglang", "dynamo-trt", "atom", "dynamo-vllm"]
    assert {(run.llm, run.device, run.statistic) for run in runs.runs} == {("deepseek-r1", "mi355x", "mean")}
    assert len(runs.skipped) == 2
    for text, said in (("{}", "a list of records"), ("[", "not JSON")):
        path.write_text(text)
        with pytest.raises(BadFile, match=said):
            read_runs(str(path))


def test_means_and_medians_are_compared_with_their_like(tmp_path: Path) -> None:
    header = HEADER + ",statistic"
    runs = read_runs(written(tmp_path, RUN + ",mean", RUN + ",median", header=header))
    found = predict(runs, packaged_for(runs)[0])
    assert found.ttft_s[1] < found.ttft_s[0]
    assert found.ttft_mean_s[1] == found.ttft_s[0]
    rate = found.tokens_per_s_per_device(runs)
    assert rate[0] == rate[1]


def test_repeats_weigh_once_and_derived_throughput_not_at_all(tmp_path: Path) -> None:
    header = HEADER + ",measured_on,throughput_derived"
    other = RUN.replace(",16,", ",64,").replace("9.5", "30")
    lines = [f"{RUN},2026-01-0{day},false" for day in (1, 2, 3)] + [other + ",2026-01-01,true"]
    runs = read_runs(written(tmp_path, *lines, header=header))
    calibrations, _ = packaged_for(runs)
    judged = report(runs, predict(runs, calibrations), calibrations)
    off = np.abs(judged.predicted["tpot"] / np.array([9.5, 9.5, 9.5, 30]) - 1)
    assert judged.overall["tpot"].mape == pytest.approx((off[0] + off[3]) / 2)
    assert judged.overall["throughput"].runs == 3


def test_layouts_are_ordered_within_one_version() -> None:
    """Weeks apart, two images may have changed the order: only runs of one image, or of about one day, make pairs."""
    early, late = run(1, 8, 10, 700.0), run(2, 8, 7, 400.0)
    dated = [early.model_copy(update={"measured_on": "2026-01-01"}), late.model_copy(update={"measured_on": "2026-03-01"})]
    figures = np.array([0.010, 0.007]), np.array([700.0, 500]), np.array([1.0, 2])
    assert decisions([early, late], *figures).pairs_wide == 1
    assert decisions(dated, *figures).pairs == 0
    assert decisions([one.model_copy(update={"image": "vllm:1"}) for one in dated], *figures).pairs == 1
    assert decisions(dated, *figures).choices == 6


def test_one_architecture_is_one_fold() -> None:
    assert len({architecture(name) for name in ("deepseek-r1", "deepseek-v3", "deepseek-v3.1-nvfp4")}) == 1
    assert architecture("qwen3-32b") != architecture("qwen3-14b")


def test_every_record_of_november_is_read(shared_data: Path) -> None:
    runs = read_runs(str(shared_data / "measured" / "runs_2026_11.json"))
    assert (len(runs.runs), len(runs.skipped)) == (563, 0)
    calibrations, _ = packaged_for(runs)
    judged = report(runs, predict(runs, calibrations), calibrations)
    assert judged.overall["tpot"].median < 0.14
    assert judged.by["layout"]["tp"]["ttft"].median < 0.25
    assert "dynamo-trt 1.2.0rc6.post2" in judged.by["version"]


def test_releases_are_read_from_versions_images_and_dates() -> None:
    base = run(1, 8, 10, 700.0)
    names = [
        {"image": "vllm/vllm-openai:v0.17.0-cu130"},
        {"image": "sglang (lmsysorg/sglang:v0.5.6-cu129-amd64)", "engine": "sglang"},
        {"engine_version": "1.2.0rc6.post2", "engine": "trtllm", "measured_on": "2026-02-05"},
        {"image": "lmsysorg/sglang:nightly-dev-20260216-d3bae71e", "engine": "sglang", "measured_on": "2026-02-20"},
        {"stack": "atom", "engine": "sglang", "image": "rocm/atom:rocm7.1.1-ubuntu24.04-pytorch2.9-atom0.1.1"},
        {},
    ]
    found = [base.model_copy(update=name).release for name in names]
    assert found == ["0.17", "0.5.6", "1.2rc6", "2026-02", "atom", ""]


def test_collections_of_medians_say_so(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, RUN, RUN.replace("a,", "infmax-7-h100,", 1)))
    assert [each.statistic for each in runs.runs] == ["mean", "median"]


def test_runs_of_public_recipes_are_read_as_they_were_started(tmp_path: Path) -> None:
    """SGLang on B200 looks for new requests every 10 or 30 steps there; a column wins, runs of one's own have the default."""
    header = "id,llm,device,engine,precision,tp,prompt_tokens,output_tokens,concurrency,tpot_ms,poll_steps"
    lines = [
        f"{name},deepseek-r1,{device},sglang,fp8,8,1000,1000,{load},20,{poll}"
        for name, device, load, poll in (
            ("dsr1_x", "b200", 8, ""), ("dsr1_y", "b200", 16, ""), ("dsr1_z", "b200", 16, 5), ("dsr1_h", "h200", 16, ""),
            ("mine", "b200", 16, ""),
        )
    ]  # fmt: skip
    runs = read_runs(written(tmp_path, *lines, header=header)).runs
    assert [run.poll_steps for run in runs] == [10, 30, 5, 1, 1]
    assert [run.chunk_tokens for run in runs] == [32768, 32768, 32768, 8192, 8192]


def test_recipes_of_runs_apart_say_what_their_records_do_not(tmp_path: Path) -> None:
    """Four decode workers of 32 sequences each let 128 of 192 requests in; TTFT was 4.79 s, and 0.3 s before that was known."""
    header = (
        "id,llm,device,engine,precision,prompt_tokens,output_tokens,concurrency,prefill_dp,prefill_replicas,decode_tp,"
        "decode_ep,decode_replicas,draft_tokens,ttft_ms,tpot_ms"
    )
    row = "{},deepseek-r1,gb200,trtllm,nvfp4,922,922,{},4,1,8,8,4,{},4789.5,10.6"
    lines = [row.format("silicon-a", 192, 0), row.format("mine", 192, 0), row.format("silicon-b", 12, "auto")]
    runs = read_runs(written(tmp_path, *lines, header=header))
    first, mine, drafting = runs.runs
    assert (first.max_running, first.chunk_tokens, first.kv_cache) == (32, 16384, "fp8")
    assert (mine.max_running, mine.chunk_tokens) == (None, 8192)
    assert (drafting.draft_tokens, drafting.max_running) == (3, 8)
    found = predict(runs, packaged_for(runs)[0])
    assert found.ttft_s[0] == pytest.approx(4.79, rel=0.4)
    assert found.ttft_s[1] < 1


def test_prompts_wait_for_prefill_on_average_but_not_in_the_middle(tmp_path: Path) -> None:
    """As prefill fills up, the mean grows faster than the median, until it is the bottleneck and all wait."""
    header = "id,llm,device,engine,precision,prompt_tokens,output_tokens,concurrency,prefill_tp,decode_tp,statistic,tpot_ms"
    row = "mine,llama-3.1-70b,h100,vllm,fp8,4000,200,{},2,4,{},20"
    loads = (1, 3, 6, 400)
    lines = [row.format(load, statistic) for statistic in ("mean", "median") for load in loads]
    runs = read_runs(written(tmp_path, *lines, header=header))
    mean, median = predict(runs, packaged_for(runs)[0]).ttft_s.reshape(2, -1)
    waits = mean / median - 1
    assert np.all(waits[:3] > 0)
    assert waits[0] < 0.1 < waits[2]
    assert waits[3] == pytest.approx(0)


def test_an_unknown_number_of_drafts_is_a_mixture(tmp_path: Path) -> None:
    """The geometric mean over what one, two and three drafts would take."""
    header = (
        "id,llm,device,engine,precision,prompt_tokens,output_tokens,concurrency,prefill_tp,decode_tp,draft_tokens,tpot_ms,"
        "max_running"
    )
    row = "{},deepseek-r1,h200,sglang,fp8,1000,1000,16,8,8,{},10,{}"
    rows = [row.format("a", drafts, "") for drafts in ("auto", 1, 2, 3)]
    runs = read_runs(written(tmp_path, *rows, row.format("b", 0, ""), row.format("c", 0, 4), header=header))
    found = predict(runs, packaged_for(runs)[0])
    assert found.tpot_s[0] == pytest.approx(float(np.prod(found.tpot_s[1:4])) ** (1 / 3))
    # Four may decode at once: they are faster, and the others wait for the first token.
    assert found.tpot_s[5] < found.tpot_s[4]
    assert found.ttft_s[5] > found.ttft_s[4] + 2 * 1000 * found.tpot_s[5]


def test_files_are_joined_and_roles_left_out(tmp_path: Path) -> None:
    header = HEADER + ",prefill_tp,prefill_replicas,decode_tp,decode_replicas,draft_tokens"
    one = read_runs(written(tmp_path, *[RUN + ",,,,,0"] * 3, header=header))
    other = read_runs(written(tmp_path, RUN + ",1,1,1,1,0", header=header))
    both = Runs.of([one, other])
    assert [each.disaggregated for each in both.runs] == [False, False, False, True]
    start, _ = packaged_for(both)
    found = predict_held_out(both, start, "role")
    alone = predict(other, {family: calibration.untouched() for family, calibration in start.items()})
    assert found.tpot_s[3] != alone.tpot_s[0]  # what the others taught
    assert np.isfinite(found.ttft_s).all()


def test_a_block_quantised_expert_that_cannot_be_cut_is_served_whole() -> None:
    found = MeasuredRun(llm="minimax-m2.5", device="h200", engine="vllm", precision="fp8", prompt_tokens=1, output_tokens=1,
                concurrency=1, tp=8, moe_tp=8)  # fmt: skip
    shape = found.setup(served_llm("minimax-m2.5", "fp8", "vllm", "h200")).parallelism
    assert (shape.ep, shape.moe_tp) == (8, 1)


def test_disaggregated_runs_are_priced_pool_by_pool(tmp_path: Path) -> None:
    header = HEADER + ",prefill_tp,prefill_replicas,decode_tp,decode_replicas,draft_tokens"
    lines = [RUN + ",1,1,1,1,0", RUN.replace(",16,", ",64,") + ",1,1,1,1,0", RUN + ",1,2,2,2,0"]
    runs = read_runs(written(tmp_path, *lines, header=header))
    found = predict(runs, packaged_for(runs)[0])
    assert found.devices.tolist() == [2, 2, 6]
    assert found.tpot_s[0] < found.tpot_s[1]
    assert found.tpot_s[2] < found.tpot_s[0]
    assert np.all(found.tpot_p95_s >= found.tpot_s)


def test_the_command_prints_the_contract(tmp_path: Path) -> None:
    from solver.cli import app
    from solver.cli import fidelity as _  # noqa: F401 - registers the command

    path = written(tmp_path, *[RUN] * 4, RUN.replace(",16,", ",64,").replace("a,", "b,", 1))
    ran = CliRunner().invoke(app, ["fidelity", path, "--json", "--fit", str(tmp_path / "ours.json")])
    assert ran.exit_code == 0, ran.output
    content = json.loads(ran.stdout)
    assert {"mape", "median", "bias"} <= set(content["tpot"])
    assert len(content["rows"]) == 5
    assert set(content["rows"][0]) == {"id", "tpot_ms", "ttft_ms", "output_tokens_per_s_per_device"}
    fitted = json.loads((tmp_path / "ours.json").read_text())["calibrations"]
    assert [entry["engine"] for entry in fitted] == ["vllm"]


@pytest.mark.skipif(not SHARED.exists(), reason="the measured runs are not here")
def test_measured_runs_are_predicted_as_the_readme_says() -> None:
    runs = read_runs(str(SHARED / "serving.csv"))
    calibrations, _ = packaged_for(runs)
    found = report(runs, predict(runs, calibrations), calibrations)
    assert len(runs.runs) == 1850
    assert found.overall["tpot"].mape < 0.125
    assert found.overall["throughput"].mape < 0.135
    assert found.overall["ttft"].median < 0.30
    assert found.choices.ordered / found.choices.pairs > 0.78
    # Spreads are those of all runs, AMD's too, with LLMs left out of the fit: wider than these need.
    assert all(0.8 <= found.covered[quantity] <= 0.97 for quantity in ("tpot", "ttft", "throughput"))


def test_intervals_are_as_wide_as_the_average_llm_needs() -> None:
    """One LLM that is run a hundred times as often as another does not set the width alone."""
    draws = np.random.default_rng(7)
    often, seldom = draws.normal(0, 0.1, 4000), draws.normal(0, 0.4, 40)
    off = np.concatenate([often, seldom])
    llm, own = np.repeat(["often", "seldom"], [4000, 40]), np.full(len(off), 0.1**2)
    counted = llms_counted(llm, np.ones(len(off), bool))
    factor = widening(off, np.zeros(len(off)), own, counted)
    inside = np.abs(off) <= HALF_80 * factor * 0.1
    assert (inside[llm == "often"].mean() + inside[llm == "seldom"].mean()) / 2 == pytest.approx(0.8, abs=0.02)
    alone = widening(off, np.zeros(len(off)), own, np.ones(len(off)))
    assert alone == pytest.approx(1.0, abs=0.05)
    assert factor > 1.2
    assert not llms_counted(llm, llm == "none").any()
