"""NVIDIA Dynamo: one ``DynamoGraphDeployment`` (nvidia.com/v1beta1) with a frontend and a component per pool."""

from __future__ import annotations

from typing import Any

from solver.export.command import Command
from solver.export.engines import COMMANDS, native
from solver.export.files import ExportedFiles, documents_text
from solver.export.kubernetes import (
    HOST_LABEL,
    NVLINK_LABEL,
    Document,
    compute_domain,
    config_map,
    environment,
    label_nodes,
    pod,
)
from solver.export.layout import Deployment, safe
from solver.export.routing import Routing
from solver.plan import Plan, Pool

_IMAGE = "nvcr.io/nvidia/ai-dynamo/{}-runtime:1.6.1"
_NAMES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrtllm"}
_MODULES = {"vllm": "dynamo.vllm", "sglang": "dynamo.sglang", "trtllm": "dynamo.trtllm"}
_TYPES = {"prefill": "prefill", "decode": "decode", "unified": "worker"}
#: Connectors that Dynamo's vLLM workers take (dynamo/vllm/kv_connector_protocols.py of 1.6.1).
_CONNECTORS = ("NixlConnector", "MooncakeConnector", "LMCacheMPConnector", "MultiConnector")
#: Arguments that Dynamo sets itself, with the number of their values.
_OWN = {
    "--port": 1, "--host": 1, "--nnodes": 1, "--node-rank": 1, "--dist-init-addr": 1, "--master-addr": 1,
    "--master-port": 1, "--data-parallel-address": 1, "--data-parallel-rpc-port": 1,
    "--disaggregation-bootstrap-port": 1,
}  # fmt: skip


def dynamo(plan: Plan) -> ExportedFiles:
    """The manifest, with ConfigMaps of expert maps and TensorRT-LLM's files, and the labels of nodes."""
    deployment = Deployment(plan, native(plan.pools[0].engine))
    warnings = [f"nodes carry the plan's hosts as the label {HOST_LABEL}: run label-nodes.sh before the manifest"]
    components, maps = [_frontend(deployment)], []
    for pool in plan.pools:
        command = COMMANDS[deployment.engine](deployment, pool)
        components.append(_component(deployment, pool, command))
        maps += config_map(f"{safe(pool.name)}-plan", command.files)
        warnings += [*command.lost, *_refused(deployment, pool)]
    if Routing(deployment).weighs:
        warnings.append("Dynamo's frontend has no shares: it spreads requests over pools of one role by load and cache")
    manifest = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": safe(deployment.model.rpartition("/")[2])[:40].strip("-")},
        "spec": {"components": components} | _topology(deployment),
    }
    files = {"dynamo.yaml": documents_text([manifest, *compute_domain(deployment), *maps])}
    files["label-nodes.sh"] = label_nodes(deployment)
    return ExportedFiles(files, tuple(dict.fromkeys(warnings)))


def _refused(deployment: Deployment, pool: Pool) -> list[str]:
    connector = deployment.connector(pool)
    if deployment.engine != "vllm" or connector is None or connector in _CONNECTORS:
        return []
    return [f"Dynamo 1.6.1 does not start pool {pool.name}: its vLLM workers take no {connector}; plan with another"]


def _topology(deployment: Deployment) -> Document:
    """KV goes from prefill to decode inside an NVLink domain where the plan has both there."""
    if not deployment.nvlink_hosts or all(pool.role == "unified" for pool in deployment.plan.pools):
        return {}
    return {"experimental": {"kvTransferPolicy": {"labelKey": NVLINK_LABEL, "enforcement": "preferred"}}}


def _frontend(deployment: Deployment) -> Document:
    reuses = any(deployment.reuses(pool) for pool in deployment.plan.pools)
    aware = reuses and deployment.plan.scenario.traffic.routing == "prefix_aware"
    container = {
        "name": "main",
        "image": _IMAGE.format(_NAMES[deployment.engine]),
        "command": ["python3"],
        "args": ["-m", "dynamo.frontend", "--router-mode", "kv" if aware else "round-robin"],
    }
    return {"name": "Frontend", "type": "frontend", "replicas": 1, "podTemplate": {"spec": {"containers": [container]}}}


def _component(deployment: Deployment, pool: Pool, command: Command) -> Document:
    engine = deployment.engine
    container: dict[str, Any] = {
        "name": "main",
        "image": _IMAGE.format(_NAMES[engine]),
        "command": ["python3", "-m", _MODULES[engine]],
        "args": _arguments(deployment, pool, command),
        "env": environment(command, {"MODEL": deployment.model}),
    }
    component: Document = {
        "name": safe(pool.name),
        "type": _TYPES[pool.role],
        "replicas": pool.replicas,
        "podTemplate": {"spec": pod(deployment, pool, container, command.files)},
    }
    if pool.hosts_per_replica > 1:
        component["multinode"] = {"nodeCount": pool.hosts_per_replica}
    return component


def _arguments(deployment: Deployment, pool: Pool, command: Command) -> list[str]:
    words = ["$(MODEL)" if word == "$MODEL" else word for word in _without_own(command.words)]
    words = [f"/plan/{word}" if word in command.files else word for word in words]
    if deployment.engine != "sglang":
        words.insert(0, "--model-path" if deployment.engine == "trtllm" else "--model")
        words += ["--disaggregation-mode", pool.role] if pool.role != "unified" else []
    return ["--extra-engine-args" if word == "--config" else word for word in words]


def _without_own(words: list[str]) -> list[str]:
    found, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in _OWN:
            skip = _OWN[word]
        else:
            found.append(word)
    return found
