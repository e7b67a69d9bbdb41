"""NVIDIA Dynamo: one ``DynamoGraphDeployment`` (nvidia.com/v1beta1) with a frontend and a component per pool."""

from __future__ import annotations

from typing import Any

from solver.export.engines import ARGUMENTS, trtllm_config
from solver.export.files import ExportedFiles, documents_text
from solver.export.layout import Deployment, safe
from solver.plan import Plan, Pool

_IMAGE = "nvcr.io/nvidia/ai-dynamo/{}-runtime:1.6.1"
_NAMES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrtllm"}
_MODULES = {"vllm": "dynamo.vllm", "sglang": "dynamo.sglang", "trtllm": "dynamo.trtllm"}
_TYPES = {"prefill": "prefill", "decode": "decode", "unified": "worker"}
#: Arguments that Dynamo sets itself where a component has several nodes or speaks over its own network.
_OWN = {"--port": 1, "--host": 1, "--nnodes": 1, "--node-rank": 1, "--dist-init-addr": 1, "--master-addr": 1,
        "--data-parallel-start-rank": 1, "--data-parallel-address": 1, "--data-parallel-rpc-port": 1}  # fmt: skip


def dynamo(plan: Plan) -> ExportedFiles:
    """The manifest, and ConfigMaps with expert maps and TensorRT-LLM's files."""
    deployment = Deployment(plan)
    warnings: list[str] = []
    components = [_frontend(plan)]
    for pool in plan.pools:
        component, lost = _component(deployment, pool)
        components.append(component)
        warnings += lost
    manifest = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": safe(deployment.model)[:40].strip("-")},
        "spec": {"components": components},
    }
    documents = [manifest, *_config_maps(deployment)]
    return ExportedFiles({"dynamo.yaml": documents_text(documents)}, tuple(dict.fromkeys(warnings)))


def _frontend(plan: Plan) -> dict[str, Any]:
    image = _IMAGE.format(_NAMES[_engine(plan.pools[0])])
    container = {"name": "main", "image": image, "command": ["python3"], "args": ["-m", "dynamo.frontend"]}
    return {"name": "Frontend", "type": "frontend", "replicas": 1, "podTemplate": {"spec": {"containers": [container]}}}


def _component(deployment: Deployment, pool: Pool) -> tuple[dict[str, Any], list[str]]:
    engine = _engine(pool)
    words, lost = ARGUMENTS[engine](deployment, pool)
    counts = deployment.devices_per_node(pool)
    args = ["$(MODEL)" if word == "$MODEL" else word for word in _without_own(words)]
    if engine != "sglang" and args and not args[0].startswith("--"):
        args = [("--model-path" if engine == "trtllm" else "--model"), *args]
    if engine == "trtllm":
        args = ["--extra-engine-args" if word == "--config" else word for word in args]
        args = [f"/plan/{word}" if word == f"{pool.name}.yaml" else word for word in args]
    if engine == "sglang":
        args = [f"/plan/{word}" if word == f"{pool.name}.experts.json" else word for word in args]
    if pool.role != "unified" and engine != "sglang":
        args += ["--disaggregation-mode", pool.role]
    container: dict[str, Any] = {
        "name": "main",
        "image": _IMAGE.format(_NAMES[engine]),
        "command": ["python3", "-m", _MODULES[engine]],
        "args": args,
        "env": [{"name": "MODEL", "value": deployment.model}],
        "resources": {"limits": {"nvidia.com/gpu": str(counts[0])}},
    }
    pod: dict[str, Any] = {"containers": [container]}
    if _files(deployment, pool):
        container["volumeMounts"] = [{"name": "plan", "mountPath": "/plan"}]
        pod["volumes"] = [{"name": "plan", "configMap": {"name": f"{safe(pool.name)}-plan"}}]
    component: dict[str, Any] = {
        "name": safe(pool.name),
        "type": _TYPES[pool.role],
        "replicas": pool.replicas,
        "podTemplate": {"spec": pod},
    }
    if len(counts) > 1:
        component["multinode"] = {"nodeCount": len(counts)}
    return component, [*lost, *_unplaced(deployment)]


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


def _files(deployment: Deployment, pool: Pool) -> dict[str, str]:
    if _engine(pool) == "trtllm":
        return {f"{pool.name}.yaml": trtllm_config(deployment, pool)}
    text = deployment.map_json(pool) if _engine(pool) == "sglang" else None
    return {f"{pool.name}.experts.json": text} if text else {}


def _config_maps(deployment: Deployment) -> list[dict[str, Any]]:
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{safe(pool.name)}-plan"}, "data": files}
        for pool in deployment.plan.pools
        if (files := _files(deployment, pool))
    ]


def _engine(pool: Pool) -> str:
    return "vllm" if pool.engine == "ideal" else pool.engine


def _unplaced(deployment: Deployment) -> list[str]:
    return ["Kubernetes chooses the nodes: the plan's placement on devices is not in the manifest"]
