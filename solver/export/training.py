"""A training plan as Megatron-LM arguments or a torchtitan job, and where its ranks start.

Flags and their types are those of a dated list of facts (``training_facts.json``); a flag that is not in it, or a value that
it does not allow, is a defect and never written.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from solver.errors import BadInput, SolverDefect, UnknownName
from solver.export.files import ExportedFiles
from solver.training.frameworks import framework
from solver.training.instance import TrainingInstance
from solver.training.network import Network
from solver.training.plan import TrainingPlan

Settings = dict[str, Any]


def export_training(plan: TrainingPlan, target: str) -> ExportedFiles:
    """The files that start a training plan, and a warning for every part of it that the target cannot express.

    Raises
    ------
    UnknownName: no such target. BadInput: the framework cannot run the plan.
    """
    if target not in TRAINING_TARGETS:
        raise UnknownName("training framework", target[:40], sorted(TRAINING_TARGETS))
    used = {run.policy for stage in plan.stages for run in stage.policies}
    lacking = list(framework(target).missing(plan.degrees.layout(), used))
    if lacking:
        raise BadInput(f"{lacking[0]}; solve again with --set training.framework={target}")
    return TRAINING_TARGETS[target](plan, TrainingInstance.of(plan.scenario))


def training_facts(target: str) -> Mapping[str, Any]:
    """What a framework's flags are, from which version, and when that was read."""
    return _facts()[target]


@cache
def _facts() -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = json.loads(
        files("solver.export").joinpath("training_facts.json").read_text("utf-8")
    )
    return found


def check_settings(target: str, settings: Settings) -> Settings:
    """The settings, each of which the facts know with such a value.

    Raises
    ------
    SolverDefect: one that they do not know.
    """
    known = training_facts(target)["flags"]
    for flag, value in settings.items():
        kind = known.get(flag)
        values = value if isinstance(value, list) and isinstance(kind, list) else [value]
        types = {"int": int, "str": str, "flag": bool, "bool": bool, "list": list}
        right = all(one in kind for one in values) if isinstance(kind, list) else type(value) is types.get(str(kind))
        if kind is None or not right:
            raise SolverDefect(
                f"{target}: the facts of {training_facts(target)['as_of']} know no {flag} = {value!r:.60}"
            )
    return settings


def megatron_settings(plan: TrainingPlan, instance: TrainingInstance) -> Settings:
    """Flags of Megatron-LM by name."""
    network, layout, spec = instance.network, plan.degrees.layout(), plan.scenario.training
    policy = {run.policy for stage in plan.stages for run in stage.policies}.pop()
    found: Settings = dict(_network_settings(network))
    found |= {
        "seq-length": spec.sequence_tokens,
        "max-position-embeddings": spec.sequence_tokens,
        "micro-batch-size": layout.micro_batch,
        "global-batch-size": spec.global_batch_sequences,
        "train-samples": round(spec.total_tokens / spec.sequence_tokens),
        "tensor-model-parallel-size": layout.tp,
        "pipeline-model-parallel-size": layout.pp,
        "context-parallel-size": layout.cp,
        "bf16": True,
        "accumulate-allreduce-grads-in-fp32": True,
    }
    if layout.cp > 1:
        found["cp-comm-type"] = {"ring": "p2p", "gather": "all_gather"}[layout.exchange]
    if layout.tp > 1 and layout.sequence_parallel:
        found["sequence-parallel"] = True
    if layout.pp > 1:
        found["pipeline-model-parallel-layout"] = pipeline_layout(plan, network)
    if network.experts:
        found |= {"expert-model-parallel-size": layout.ep, "expert-tensor-parallel-size": 1}
        found["moe-token-dispatcher-type"] = "alltoall"
        if spec.nodes_per_token and layout.ep > plan.domain:
            found |= {"moe-router-num-groups": layout.ep // plan.domain, "moe-router-group-topk": spec.nodes_per_token}
    if layout.overlap:
        found["overlap-moe-expert-parallel-comm"] = True
    if layout.zero == 1:
        found |= dict.fromkeys(("use-distributed-optimizer", "overlap-grad-reduce", "overlap-param-gather"), True)
    elif layout.zero > 1:
        shared = {2: "optim_grads", 3: "optim_grads_params"}[layout.zero]
        found |= {"use-megatron-fsdp": True, "data-parallel-sharding-strategy": shared}
    if policy == "full":
        found |= {"recompute-granularity": "full", "recompute-method": "uniform", "recompute-num-layers": 1}
    elif policy == "selective":
        found |= {"recompute-granularity": "selective", "recompute-modules": list(_modules(network, instance))}
    if plan.precision == "fp8":
        found |= {"fp8-format": "e4m3", "fp8-recipe": "blockwise"}
    if spec.moments == "bf16":
        found |= {"use-precision-aware-optimizer": True, "exp-avg-dtype": "bf16", "exp-avg-sq-dtype": "bf16"}
    return found


def _network_settings(network: Network) -> Iterator[tuple[str, Any]]:
    block = network.layers[-1]
    yield "num-layers", len(network.layers)
    yield "hidden-size", network.width
    yield "num-attention-heads", block.heads
    dense = next((b for b in network.layers if not b.experts), None)
    if dense:
        yield "ffn-hidden-size", dense.dense_inner
    if block.gated:
        yield "swiglu", True
    if network.experts:
        yield "num-experts", block.experts
        yield "moe-router-topk", block.top_k
        yield "moe-ffn-hidden-size", block.expert_inner
        yield "moe-layer-freq", str([int(b.experts > 0) for b in network.layers]).replace(" ", "")
    if network.predicted:
        yield "mtp-num-layers", network.predicted


def _modules(network: Network, instance: TrainingInstance) -> Iterator[str]:
    """Modules that selective recomputation runs again."""
    if instance.scenario.training.flash is False or instance.measured_with_scores:
        yield "core_attn"
        return
    yield "layernorm"
    if network.experts:
        yield "moe_act"
    if any(block.up for block in network.layers):
        yield "mla_up_proj"


def pipeline_layout(plan: TrainingPlan, network: Network) -> str:
    """Parts in the order of a micro-batch: E embedding, t layer, m multi-token prediction, L loss."""
    parts = ["t" * (last - first + 1) for first, last in chunks_in_order(plan)]
    parts[0] = "E" + parts[0]
    parts[-1] += "m" * network.predicted + "L"
    return "|".join(parts)


def chunks_in_order(plan: TrainingPlan) -> list[tuple[int, int]]:
    """First and last layer of every chunk in the order in which a micro-batch meets them; (0, -1) is an empty one."""
    layout = plan.degrees.layout()
    if layout.schedule.folded:
        return [stage.parts[0] for stage in plan.stages] + [stage.parts[-1] for stage in reversed(plan.stages)]
    chunks, columns = layout.schedule.chunks, []
    for number, stage in enumerate(plan.stages):
        missing = [(0, -1)] * (chunks - len(stage.parts))
        columns.append([*missing, *stage.parts] if number == 0 else [*stage.parts, *missing])
    return [column[chunk] for chunk in range(chunks) for column in columns]


def _megatron(plan: TrainingPlan, instance: TrainingInstance) -> ExportedFiles:
    settings = check_settings("megatron", megatron_settings(plan, instance))
    words = [
        f"--{flag}" if value is True else f"--{flag} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for flag, value in settings.items()
    ]
    facts = training_facts("megatron")
    hosts, each = _hosts(plan, instance)
    script = [
        "#!/usr/bin/env bash",
        f"# {plan.degrees.layout()} on {len(plan.placement):,} x {plan.device}; flags of {facts['version']}.",
        "# Start on every host with NODE_RANK as hosts.json says, HEAD the first host, and DATA your data and tokenizer flags.",
        "set -euo pipefail",
        ': "${HEAD:=127.0.0.1}" "${NODE_RANK:=0}" "${DATA:=}"',
        *(
            ["export CUDA_DEVICE_MAX_CONNECTIONS=1"]
            if plan.degrees.tp * plan.degrees.cp > 1 and plan.degrees.zero < 2
            else []
        ),
        f'exec torchrun --nnodes {len(hosts)} --nproc-per-node {each} --node-rank "$NODE_RANK" --master-addr "$HEAD" \\',
        "  pretrain_gpt.py $DATA \\",
        " \\\n".join(f"  {shlex.join(word.split(' '))}" for word in words),
        "",
    ]
    return ExportedFiles({"train.sh": "\n".join(script), "hosts.json": _host_file(hosts)}, tuple(_lost(plan, instance)))


def torchtitan_settings(plan: TrainingPlan, instance: TrainingInstance) -> Settings:
    """Fields of a torchtitan job by path."""
    layout, spec = plan.degrees.layout(), plan.scenario.training
    policy = {run.policy for stage in plan.stages for run in stage.policies}.pop()
    schedules = {"1f1b": "1F1B", "gpipe": "GPipe", "interleaved": "Interleaved1F1B", "dualpipe-v": "DualPipeV"}
    found: Settings = {
        "model.name": instance.network.name,
        "model.flavor": instance.network.name,
        "training.seq_len": spec.sequence_tokens,
        "training.local_batch_size": layout.micro_batch * (plan.micro_batches if layout.pp > 1 else 1),
        "training.global_batch_size": spec.global_batch_sequences,
        "training.steps": max(1, round(spec.total_tokens / spec.sequence_tokens / spec.global_batch_sequences)),
        "training.mixed_precision_param": "bfloat16",
        "training.mixed_precision_reduce": "float32",
        "parallelism.data_parallel_shard_degree": layout.dp,
        "parallelism.fsdp_reshard_after_forward": "always" if layout.zero == 3 else "never",
        "parallelism.tensor_parallel_degree": layout.tp,
        "parallelism.context_parallel_degree": layout.cp,
        "parallelism.pipeline_parallel_degree": layout.pp,
        "activation_checkpoint.mode": {"store": "none", "selective": "selective", "full": "full"}[policy],
        "compile.enable": True,
    }
    if policy == "selective":
        found["activation_checkpoint.selective_ac_option"] = "op"
    if layout.cp > 1:
        found["parallelism.context_parallel_rotate_method"] = "allgather"
    if layout.pp > 1:
        found["parallelism.pipeline_parallel_schedule"] = schedules[layout.schedule.kind]
        found["parallelism.pipeline_parallel_microbatch_size"] = layout.micro_batch
        found["parallelism.module_fqns_per_model_part"] = _modules_by_part(plan)
    if instance.network.experts:
        found["parallelism.expert_parallel_degree"] = layout.ep
        found["parallelism.expert_tensor_parallel_degree"] = 1
        found["parallelism.pipeline_parallel_expert_parallel_overlap"] = layout.hides_experts
    if plan.precision == "fp8":
        found["model.converters"] = ["quantize.linear.float8"]
        found["quantize.linear.float8.recipe_name"] = "rowwise"
    return found


def _modules_by_part(plan: TrainingPlan) -> list[list[str]]:
    parts = [[f"layers.{layer}" for layer in range(first, last + 1)] for first, last in chunks_in_order(plan)]
    parts[0].insert(0, "tok_embeddings")
    parts[-1] += ["norm", "output"]
    return parts


def _torchtitan(plan: TrainingPlan, instance: TrainingInstance) -> ExportedFiles:
    settings = check_settings("torchtitan", torchtitan_settings(plan, instance))
    tables: dict[str, list[str]] = {}
    for path, value in settings.items():
        table, _, name = path.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {json.dumps(value)}")
    facts = training_facts("torchtitan")
    lines = [f"# {plan.degrees.layout()} on {len(plan.placement):,} x {plan.device}; fields of {facts['version']}."]
    for table, fields in tables.items():
        lines += ["", f"[{table}]", *fields]
    hosts, _ = _hosts(plan, instance)
    warnings = [*_lost(plan, instance), "model.name and model.flavor are ours: name the entry of your model registry"]
    return ExportedFiles({"job.toml": "\n".join(lines) + "\n", "hosts.json": _host_file(hosts)}, tuple(warnings))


def _hosts(plan: TrainingPlan, instance: TrainingInstance) -> tuple[dict[str, list[str]], int]:
    """Hosts in the order of their ranks with the devices of each, and devices a host.

    Raises
    ------
    BadInput: hosts with different numbers of devices, which torchrun cannot start in the order of ranks.
    """
    hosts: dict[str, list[str]] = {}
    for device in plan.placement:
        hosts.setdefault(str(instance.cluster.nodes[device]["host"]), []).append(device)
    counts = {len(devices) for devices in hosts.values()}
    if len(counts) > 1:
        raise BadInput(
            f"hosts run {min(counts)} to {max(counts)} ranks each; torchrun starts equally many on every host"
        )
    return hosts, counts.pop()


def _host_file(hosts: Mapping[str, list[str]]) -> str:
    rows = [
        {"node_rank": number, "host": host, "devices": devices} for number, (host, devices) in enumerate(hosts.items())
    ]
    return json.dumps(rows, indent=1) + "\n"


def _lost(plan: TrainingPlan, instance: TrainingInstance) -> Iterator[str]:
    """What the files do not say."""
    yield "data, tokenizer, vocabulary, learning rate and checkpoints are yours to add"
    if plan.scenario.training.reversible:
        yield "reversible layers are not expressed"
    if instance.network.predicted:
        yield "the loss weight of multi-token prediction is yours to add"


TRAINING_TARGETS: dict[str, Callable[[TrainingPlan, TrainingInstance], ExportedFiles]] = {
    "megatron": _megatron,
    "torchtitan": _torchtitan,
}
