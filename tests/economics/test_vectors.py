"""Every vector of the reference data is reproduced by a function of the library, to the vector's own tolerance."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solver.economics import capacity, exchange, fabric, fast_mode, money, pipelines, roofline, trains
from solver.economics.epoch import architecture, first_version, front, hardware, latency
from solver.economics.scaling import chinchilla, lifetime, routed, sparse
from solver.training import activations, feistel
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.network import Block, gpt
from solver.training.schedules import Schedule
from solver.training.times import BlockTimes

Given = dict[str, Any]
Table = dict[str, Callable[[Given], Given]]


def fast(v: Given) -> Given:
    r = v["kv_slope_ratio"]
    found = fast_mode.batches(v["price_ratio"], v["speed_ratio"], v["B_star"], r)
    over = [roofline.cost_over_floor(batch, v["B_star"], r) for batch in found[:2]]
    ratio = found.standard / found.fast
    return {
        "B0": found.standard, "B1": found.fast, "B0_over_B1": ratio,
        "cost0_over_floor": over[0], "cost1_over_floor": over[1],
    }  # fmt: skip


def serving(v: Given) -> roofline.Serving:
    return roofline.Serving(
        devices=v.get("gpus", v.get("chips", 1)),
        flops=v.get("flops", 1.0),
        bytes_per_s=v["bw"],
        weight_bytes=v.get("weight_bytes", v.get("param_bytes")),
        active_parameters=v.get("N_active", v.get("N", 1.0)),
        kv_bytes_per_token=v.get("kv_bytes_per_token", v.get("kv_bytes_per_seq", 0)),
        context=v.get("ctx", 1),
    )


def read_only(v: Given) -> Given:
    s = serving(v).memory_s(v["B"])
    return {"t_ms": s * 1e3, "tok_s": v["B"] / s}


def both_lines(v: Given) -> Given:
    found = serving(v)
    return {
        "t_compute_ms": found.compute_s(v["B"]) * 1e3,
        "t_mem_ms": found.memory_s(v["B"]) * 1e3,
        "t_ms": found.step_s(v["B"]) * 1e3,
    }


def least_latency(v: Given) -> Given:
    found = roofline.least_latency(
        v["params"] * v["bytes_per_param"], v["bw"], v["layers"], v["n_reduce"], v["t_hop_s"]
    )
    return {"n_gpu": found.devices, "latency_ms": found.latency_s * 1e3, "tok_s": found.tokens_per_s}


def floor(v: Given) -> Given:
    s = roofline.Serving(
        devices=v.get("gpus", v.get("chips")), flops=1.0, bytes_per_s=v["bw"], weight_bytes=v["weight_bytes"],
        active_parameters=1.0,
    ).floor_s  # fmt: skip
    return {"t_ms": s * 1e3, "floor_ms": s * 1e3, "efficiency": s * 1e3 / v.get("measured_ms", math.nan)}


def touched(v: Given) -> Given:
    return {"fraction": roofline.experts_touched_share(v["sparsity"], v["batch"])}


def ratio(v: Given) -> Given:
    return {"R": roofline.balance_ratio(v["flops"], v["bw"], v["bytes_per_weight"])}


def decode_cost(v: Given) -> Given:
    usd = money.usd_per_million_tokens(v["gpus"], v["usd_per_gpu_h"], v["tok_s"])
    return {"usd_per_mtok": usd, "tok_s_per_gpu": v["tok_s"] / v["gpus"]}


def compute_floor(v: Given) -> Given:
    return {
        "usd_per_mtok": money.compute_floor(v["N"], v["flops"], v["usd_per_h"]),
        "usd_per_mtok_u70": money.compute_floor(v["N"], v["flops"], v["usd_per_h"], 0.7),
    }


def day(v: Given) -> Given:
    found = money.ServingDay(
        hosts=v["nodes"], usd_per_device_hour=v["usd_per_gpu_h"], cached_tokens=v["in_hit"],
        prompt_tokens=v["in_miss"], output_tokens=v["out"], usd_per_million=(v["p_hit"], v["p_miss"], v["p_out"]),
    )  # fmt: skip
    return {"cost": found.cost_usd, "revenue": found.revenue_usd, "margin": found.margin}


def epoch_front(v: Given) -> Given:
    llm = architecture.ARCHITECTURES[v["model"]]
    assert (llm.parameters, llm.active_parameters, llm.kv_bytes_per_token) == (v["total"], v["active"], v["kv"])
    found = front.front(llm, usd_per_device_hour=v["usd_per_h"]).sampled()
    best = found.preferred()
    return {
        "max_tok_s": found.fastest.tokens_per_s,
        "min_usd_per_mtok": found.cheapest.usd,
        "pref": {
            "tok_s": best.tokens_per_s, "usd_per_mtok": best.usd, "gpus": best.devices, "batch": best.batch,
            "mfu": best.mfu,
        },
        "usd_at_tok_s": {str(s): found.usd_at(s) for s in (5, 10, 20, 30, 40, 50, 60, 80, 100)},
    }  # fmt: skip


def epoch_first(v: Given) -> Given:
    llm = architecture.ARCHITECTURES[v["model"]]
    whole = front.front(llm, hardware.H100_UNCAPPED, v["usd_per_h"], step_time=first_version.token_s)
    found = whole.sampled(np.logspace(-4, 0, 600))
    best = found.preferred(4)
    pref = {"tps": best.tokens_per_s, "cost": best.usd, "gpus": best.devices, "batch": best.batch, "mfu": best.mfu}
    return {"max_tok_s": found.fastest.tokens_per_s, "gpus": found.fastest.devices, "pref": pref}


def epoch_point(v: Given) -> Given:
    step = float(
        latency.speculative_token_s(
            architecture.DEEPSEEK_V3, architecture.LLAMA_3_8B_MQA, hardware.H100,
            np.array(v["gpus"], float), np.array(v["B"], float), 0.8, 4, v["ctx"], staged=True,
        )
    )  # fmt: skip
    return {"tok_s": 1 / step, "usd_per_mtok": money.usd_per_million_tokens(v["gpus"], v["usd_per_h"], v["B"] / step)}


def drain(v: Given) -> Given:
    return {"t_ms": trains.drain_s(v["capacity"], v["bw"]) * 1e3}


def deepseek_concurrency(v: Given) -> Given:
    users = trains.concurrency_from_rates(v["tok_s_node"], v["tok_s_user"])
    return {"per_gpu": users / v["gpus"], "per_unit": users * v["nodes_per_unit"]}


def wait(v: Given) -> Given:
    found = trains.waits(v["T_ms"])
    return {"mean_ms": found.mean, "worst_ms": found.worst, "mean_wait_ms": found.boarding}


def exchange_limit(v: Given) -> Given:
    found = exchange.exchange_limit(
        v["tokens"], v["k_plus_shared"], v["d"], v["layers"], v["bw"], v["bytes_dispatch"] + v["bytes_combine"]
    )
    return {"t_us": found.exchange_s * 1e6, "tpot_ms": found.tpot_s * 1e3, "tok_s": found.tokens_per_s}


def combine(v: Given) -> Given:
    size = exchange.combine_bytes(v["tokens"], v["k"], v["d"])
    return {"bytes": size, "gb_s": [size / (us * 1e3) for us in v["latency_us"]]}


def dispatch(v: Given) -> Given:
    size = exchange.dispatch_bytes(v["tokens"], v["k"], v["d"])
    return {"bytes": size, "gb_s": size / (v["latency_us"] * 1e3)}


def palm_context(v: Given) -> Given:
    hbm = v.get("chips", 64) * v.get("hbm_GiB", 32) * 2**30
    heads, copies = (1, v["replication"]) if "replication" in v else (v["heads"], 1)
    kv = capacity.kv_bytes_per_token(v["layers"], heads, v["d_head"], 2)
    return {"ctx": capacity.longest_context(hbm, v["fraction"], v["B"], kv, copies)}


def most_sequences(v: Given) -> Given:
    found = capacity.most_sequences(v["gpus"], v["hbm"], v["weight_bytes"], v["ctx"], v["kv_bytes_per_token"])
    return {"B_max": found}


def serving_memory(v: Given) -> Given:
    found = pipelines.serving_memory(
        v["weight_bytes"], v["E"], v["P"], v["micro_batch"], v["ctx"], v["kv_bytes_per_token"]
    )
    return {"weights_GB": found.weights / 1e9, "kv_GB": found.kv / 1e9}


def hop(v: Given) -> Given:
    s = pipelines.hop_s(v["micro_batch"], v["gpus"], v["d"], v["bytes"], v["bw"], v["alpha"])
    return {"us": s * 1e6, "four_stage_ms": 4 * s * 1e3}


def schedules(v: Given) -> Given:
    each, p = pipelines.MicroBatch(v["F"], v["B"], v["W"], v["FB"]), v["p"]
    return {
        "f1b": each.bubble_1f1b(p), "zb1p": each.bubble_zero(p), "dualpipe": each.bubble_dual(p),
        "act_1f1b": pipelines.held_1f1b(p).activations, "act_zb1p": pipelines.held_1f1b(p).activations,
        "act_dualpipe": pipelines.held_dual(p).activations, "param_dualpipe": pipelines.held_dual(p).parameters,
    }  # fmt: skip


def read_gain(v: Given) -> Given:
    first, second = (
        roofline.Serving(
            devices=v["G" + i], flops=1, bytes_per_s=v["BW" + i], weight_bytes=v["weight_bytes"], active_parameters=1
        ).floor_s
        for i in "12"
    )
    return {"gain": first / second, "t1_ms": first * 1e3, "t2_ms": second * 1e3}


def second_node(v: Given) -> Given:
    known = v["N"], v["W_gpu"], v["M"], v["W_node"]
    return {"approx": fabric.second_node_slowdown_roughly(*known), "exact": fabric.second_node_slowdown(*known)}


def law_of(v: Given) -> chinchilla.LossLaw:
    return chinchilla.LossLaw(v.get("E", 0.0), v["A"], v["alpha"], v["B"], v["beta"])


def sardana(v: Given) -> Given:
    law = law_of(v)
    assert law == chinchilla.HOFFMANN
    found = lifetime.cheapest(law, v["N0"], v["D_inf"])
    return {
        "N": found.parameters, "D": found.tokens, "D0": found.reference_tokens, "D_ratio": found.tokens_ratio(),
        "save": found.saved_share, "dF": found.saved_flop,
    }  # fmt: skip


def at_size(v: Given) -> Given:
    tokens = lifetime.tokens_at_size(law_of(v), v["N"], v["D_inf"])
    return {"D": tokens, "over_20N": tokens / (20 * v["N"]), "Ctrain_over_Cinf": 3 * tokens / v["D_inf"]}


def besiroglu(v: Given) -> Given:
    law = chinchilla.BESIROGLU
    assert (law.a, law.b, law.alpha, law.beta) == (v["A"], v["B"], v["alpha"], v["beta"])
    tokens = law.optimal_tokens(v["N"])
    return {"D": tokens, "ratio": tokens / v["N"]}


def demand(v: Given) -> Given:
    tokens = lifetime.served_tokens(v["tok_s"], v["days"])
    return {"tokens": tokens, "over_chinchilla": tokens / (20 * 100e9)}


def equalised(v: Given) -> Given:
    flops = {"Dp_over_Drl": v["rl_flops"], "Dp_over_Dinf": v["inf_flops"]}
    return {name: lifetime.equal_cost_tokens(flop, v["ineff"]) for name, flop in flops.items()}


def gpt_layer(v: Given) -> tuple[Block, TrainingJob, TrainingLayout, int]:
    """A GPT's layer whose scores are written, on t ranks with sequence parallelism, and the tokens of a micro-batch."""
    block = gpt("gpt", 1, v["h"], v["a"]).layers[0]
    batch = v.get("b", 1)
    job = TrainingJob(v["s"], batch, v["s"] * batch, flash=False)
    layout = TrainingLayout(tp=v.get("t", 1), pp=1, dp=1, micro_batch=batch, schedule=Schedule("1f1b"))
    return block, job, layout, v["s"] * batch


def act_policies(v: Given) -> Given:
    block, job, layout, tokens = gpt_layer(v)
    kept = {policy: tokens * activations.stack_bytes(block, job, layout, v["L"], policy) for policy in activations.POLICIES}
    # A backward pass is two forward ones: what is left is what each policy runs again.
    times = BlockTimes(forward=1.0, backward=2.0, weights=1.0, exchange=0.0, light=0.0, hidden=None)
    return {
        "none_GB": kept["store"] / 1e9,
        "full_ckpt_GB": kept["full"] / 1e9,
        "reversible_GB": kept["reversible"] / 1e9,
        "flops_ratio": [times.total(policy) / 3 for policy in ("store", "full", "reversible")],
    }


def act_layer(v: Given) -> Given:
    block, job, layout, tokens = gpt_layer(v)
    kept = {policy: tokens * activations.kept_bytes(block, job, layout, policy) for policy in ("store", "selective", "full")}
    return {
        "coef5": (kept["store"] - kept["selective"]) * layout.tp / (tokens * block.width),
        "full_store_GB": kept["store"] / 1e9,
        "selective_GB": kept["selective"] / 1e9,
        "full_recompute_GB": kept["full"] / 1e9,
    }


def act_first_stage(v: Given) -> Given:
    block, job, layout, tokens = gpt_layer(v)
    many = 8 * v["p"]
    held = {n: Schedule("interleaved" if n > 1 else "1f1b", n).held(v["p"], 0, many) for n in (1, v["m_chunks"])}
    layers = v["L"] // v["p"] * held[1]
    kept = tokens * layers * activations.kept_bytes(block, job, layout, "store")
    return {"GB": kept / 1e9, "interleaved_factor": held[v["m_chunks"]] / v["p"]}


def roundtrip(v: Given) -> Given:
    cipher = feistel.Feistel(v["half_bits"], v["rounds"])
    y = [cipher.encrypt(x) for x in v["x"]]
    return {"y": y, "inv": [cipher.decrypt(x) for x in y]}


def placement(v: Given) -> Given:
    slots = feistel.Feistel(v["half_bits"], v["rounds"]).permutation()
    loads = np.bincount(slots // (v["experts"] // v["gpus"]), minlength=v["gpus"])
    return {
        "is_permutation": sorted(slots.tolist()) == list(range(v["experts"])),
        "max_load": int(loads.max()),
        "min_load": int(loads.min()),
        "first8": slots[:8].tolist(),
    }


TABLE: Table = {
    "fast.kv_half_6x_2p5": fast,
    "fast.kv_one_6x_2p5": fast,
    "fast.nokv_6x_2p5": fast,
    "fast.nokv_2x_2p5": fast,
    "fast.batch_ratio": lambda v: {"B0_over_B1": fast_mode.batch_ratio(v["price_ratio"], v["speed_ratio"])},
    "fast.r_boundary": lambda v: {"r_max": fast_mode.largest_compute_bound_slope(v["price_ratio"], v["speed_ratio"])},
    "roofline.prefill_70b": lambda v: {
        "t_s": roofline.prefill_s(v["N"], v["tokens"], v["chips"], v["flops"], v["mfu"])
    },
    "roofline.llama70b_int8_v5e8": read_only,
    "roofline.popquiz_b256": lambda v: {"t_ms": serving(v).additive_step_s(v["B"]) * 1e3},
    "roofline.dsv3_64xh100": both_lines,
    "roofline.llama2_13b_b1": read_only,
    "roofline.llama2_13b_b8": read_only,
    "roofline.llama2_13b_b16": read_only,
    "roofline.erdil_min_latency_llama31_405b": least_latency,
    "roofline.erdil_min_latency_llama3_8b": least_latency,
    "roofline.erdil_min_latency_llama3_70b": least_latency,
    "lat.experts_touched_s32_b100": touched,
    "lat.experts_touched_s32_b32": touched,
    "lat.floor_dsv3_h200x8": floor,
    "lat.palm540_floor_vs_measured": floor,
    "cost.deepseek_decode": decode_cost,
    "cost.lecture_train": decode_cost,
    "cost.floor_llama70b_bf16_h100": compute_floor,
    "cost.deepseek_daily": day,
    "epoch.front_llama70b_8bit": epoch_front,
    "epoch.front_mixtral8x22b": epoch_front,
    "epoch.front_dsv3": epoch_front,
    "epoch.front_gpt4": epoch_front,
    "epoch.v1_mistral_large2_short": epoch_first,
    "epoch.dsv3_point_100k": epoch_point,
    "balance.R_b200_fp4": ratio,
    "balance.R_h200_bf16": ratio,
    "balance.R_b200_bf16": ratio,
    "balance.R_h100_fp8": ratio,
    "balance.R_tpu_v5e_bf16": ratio,
    "balance.R_a100_bf16": ratio,
    "balance.R_h100_bf16": ratio,
    "balance.R_tpu_v5e_w8a16": ratio,
    "balance.R_rubin_nvfp4_20TBs": ratio,
    "balance.lecture_2400": lambda v: {"B_star": roofline.balance_batch(v["R"], v["sparsity"])},
    "train.pd_ratio": lambda v: {"ratio": trains.prefill_per_decode(v["B"], v["t_prefill_s"], v["t_step_s"], v["gen"])},
    "train.deepseek_concurrency": deepseek_concurrency,
    "train.little": lambda v: {"concurrent": trains.concurrency(v["req_s"], v["out_tokens"], v["T_ms"] / 1e3)},
    "train.b_star_vs_drain_mfu": lambda v: {
        "mfu": trains.balanced_mfu_at_drain(v["weight_bytes"], v["gpus"], v["hbm"])
    },
    "train.wait": wait,
    "train.tok_s_exact": lambda v: {"tok_s": trains.tokens_per_s(v["B"], v["T_ms"] / 1e3)},
    "train.tok_s": lambda v: {"tok_s": trains.tokens_per_s(v["B"], 1 / v["trains_per_s"])},
    "train.poisson_overflow": lambda v: {"p": trains.overfull_probability(v["B"], v["rho"])},
    "drain.h100": drain,
    "drain.h200": drain,
    "drain.tpu_v5e": drain,
    "sparse.clark_5M_128E": lambda v: {"epc": routed.S_BASE.effective_parameters(v["N"], v["E"])},
    "sparse.clark_1p3B_64E_rlr": lambda v: {"epc": routed.RL_R.effective_parameters(v["N"], v["E"])},
    "sparse.clark_cutoff": lambda v: {"N": routed.S_BASE.cutoff},
    "sparse.abnar_eval": lambda v: {"L": [sparse.abnar_loss(v["N"], v["D"], s) for s in v["S"]]},
    "sparse.total_param_factor": lambda v: {"factor": routed.total_parameter_factor(v["E"], v["phi"])},
    "moe.deepep_ll_combine": combine,
    "moe.deepep_ll_dispatch": dispatch,
    "moe.experts_per_gpu": lambda v: {
        "per_gpu": exchange.experts_per_device(v["experts"], v["gpus_used"]),
        "idle_fraction": exchange.idle_share(v["gpus_used"], v["domain"]),
    },
    "moe.distinct_nodes": lambda v: {
        "nodes": exchange.nodes_reached(v["nodes"], v["experts"], v["k"]),
        "with_replacement": exchange.nodes_reached_with_replacement(v["nodes"], v["k"]),
    },
    "moe.a2a_fcrit_h100_ib": lambda v: {"f_crit": exchange.network_bound_width(v["beta"], v["flops"], v["bw"])},
    "moe.a2a_fcrit_gb200": lambda v: {"f_crit": exchange.network_bound_width(v["beta"], v["flops"], v["bw"])},
    "moe.deepseek_ep_ib": exchange_limit,
    "moe.deepseek_ep_nvl72": exchange_limit,
    "comm.ring_allreduce": lambda v: {"us": fabric.ring_all_reduce_s(v["S"], v["n"], v["W"], v["alpha"]) * 1e6},
    "comm.allgather_h100": lambda v: {"ms": fabric.all_gather_s(v["S"], v["n"], v["W"]) * 1e3},
    "comm.oneshot_allreduce_crossover": lambda v: {
        "S_star": fabric.one_shot_crossover_bytes(v["n"], v["W"], v["alpha"])
    },
    "cap.hopper8": lambda v: {"GB": capacity.domain_bytes(v["gpus"], v["hbm"]) / 1e9},
    "cap.blackwell_domain": lambda v: {"TB": [capacity.domain_bytes(v["gpus"], each) / 1e12 for each in v["hbm"]]},
    "cap.bmax_llama70b_v5e16": most_sequences,
    "cap.bmax_llama70b_8xh100": most_sequences,
    "cap.kv_qwen25_72b": lambda v: {"bytes": capacity.kv_bytes_per_token(80, 8, 128, 2)},
    "cap.pope_t1_mha_b128": palm_context,
    "cap.pope_t1_mqa_base_b512": palm_context,
    "cap.pope_t1_mqa_opt_b128": palm_context,
    "cap.pope_t1_mqa_base_b128": palm_context,
    "pp.bubble_1f1b": lambda v: {
        "ratio": pipelines.bubble_over_work(v["p"], v["m"]),
        "fraction": pipelines.bubble_share(v["p"], v["m"]),
    },
    "pp.hop_cost": hop,
    "pp.infer_mem_P1": serving_memory,
    "pp.infer_mem_P4": serving_memory,
    "pp.schedules": schedules,
    "pp.infer_no_bubble": lambda v: {"idle": [pipelines.idle_share_of_decode(v["P"], m) for m in v["m"]]},
    "net.kv_transfer": lambda v: {
        "ms": [
            fabric.kv_transfer_s(v["ctx"], k, nics, v["bw"]) * 1e3
            for k, nics in zip(v["kv_bytes_per_token"], v["nics"], strict=True)
        ]
    },
    "net.weight_latency_gain": read_gain,
    "net.ratio": lambda v: {name: fabric.bandwidth_ratio(*rates) for name, rates in v.items()},
    "net.hier_ag_bw": lambda v: {"GBs": fabric.hierarchical_all_gather_bytes_per_s(v["levels"]) / 1e9},
    "net.min_layers": lambda v: {"L": [fabric.least_layers_to_hide(r, v["k"]) for r in v["ratio"]]},
    "net.a2a_two_node_degradation": second_node,
    "overtrain.equal_cost_lemma": lambda v: {"costA_over_costB": lifetime.cost_ratio_at_optimum(v["p"], v["q"])},
    "overtrain.equalised": equalised,
    "overtrain.dinf": demand,
    "overtrain.lecture_scenario_hoffmann_336_283": at_size,
    "overtrain.besiroglu_70b": besiroglu,
    "overtrain.foc": lambda v: {"ratio": lifetime.cheapest(chinchilla.HOFFMANN, 30e9, 1e13).pull(chinchilla.HOFFMANN)},
    "overtrain.sardana_13b_2e12": sardana,
    "overtrain.sardana_7b_1e11": sardana,
    "act.policies_96_layers": act_policies,
    "act.gpt3_layer": act_layer,
    "act.mtnlg_coef": act_layer,
    "act.1f1b_first_stage": act_first_stage,
    "feistel.roundtrip16": roundtrip,
    "feistel.placement_bijection": placement,
    "feistel.float_not_exact": lambda v: {"recovered": feistel.float_round_trip(v["y"], v["f"])},
}


@pytest.fixture(scope="module")
def vectors(shared_data: Path) -> dict[str, Given]:
    return {vector["id"]: vector for vector in json.loads((shared_data / "vectors.json").read_text())}


@pytest.mark.parametrize("name", TABLE)
def test_vector(name: str, vectors: dict[str, Given]) -> None:
    vector = vectors[name]
    found = TABLE[name](vector["inputs"])
    _agree(found, vector["expected"], vector["tolerance"], name)


def test_every_vector_has_a_function(vectors: dict[str, Given]) -> None:
    elsewhere = {name for name in vectors if name.startswith("tier.")}
    assert set(vectors) - elsewhere == set(TABLE)


def _agree(found: Any, expected: Any, tolerance: float, where: str) -> None:
    """Numbers within a relative tolerance, everything else equal."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            _agree(found[key], value, tolerance, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            _agree(one, other, tolerance, f"{where}[{index}]")
    elif expected is None or isinstance(expected, bool):
        assert found is expected, where
    else:
        assert math.isclose(found, expected, rel_tol=tolerance, abs_tol=0), f"{where}: {found} is not {expected}"
