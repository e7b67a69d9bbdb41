"""LeaderWorkerSet (leaderworkerset.x-k8s.io/v1): a group of pods per replica, a Service per pool."""

from __future__ import annotations

import shlex
from typing import Any

from solver.export.engines import ARGUMENTS, PROGRAMS, trtllm_balancer, trtllm_config
from solver.export.files import ExportedFiles, documents_text
from solver.export.layout import SERVE_PORT, Deployment, safe
from solver.plan import Plan, Pool

IMAGES = {
    "vllm": "vllm/vllm-openai:v0.33.0",
    "sglang": "lmsysorg/sglang:v0.5.23",
    "trtllm": "nvcr.io/nvidia/tensorrt-llm/release:1.3.0",
}


def lws(plan: Plan) -> ExportedFiles:
    """A manifest for every pool."""
    deployment = Deployment(plan)
    files: dict[str, str] = {}
    warnings = ["Kubernetes chooses the nodes: the plan's placement on devices is not in the manifests"]
    for pool in plan.pools:
        documents, lost = _manifests(deployment, pool)
        files[f"{safe(pool.name)}.yaml"] = documents_text(documents)
        warnings += lost
    return ExportedFiles(files, tuple(dict.fromkeys(warnings)))


def _manifests(deployment: Deployment, pool: Pool) -> tuple[list[dict[str, Any]], list[str]]:
    engine = "vllm" if pool.engine == "ideal" else pool.engine
    words, lost = ARGUMENTS[engine](deployment, pool)
    counts = deployment.devices_per_node(pool)
    files = _files(deployment, pool, engine)
    command = " ".join(_word(word, files) for word in [*PROGRAMS[engine], *words])
    first = f"FIRST_RANK=$((LWS_WORKER_INDEX * {max(counts[0] // pool.parallelism.tp, 1)}))"
    start = f"export HEAD=$LWS_LEADER_ADDRESS NODE_RANK=$LWS_WORKER_INDEX {first}; exec {command}"
    container: dict[str, Any] = {
        "name": engine,
        "image": IMAGES[engine],
        "command": ["sh", "-c", start],
        "env": [{"name": "MODEL", "value": deployment.model}],
        "resources": {"limits": {"nvidia.com/gpu": str(counts[0])}},
        "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
    }
    volumes: list[dict[str, Any]] = [{"name": "dshm", "emptyDir": {"medium": "Memory"}}]
    if files:
        container["volumeMounts"].append({"name": "plan", "mountPath": "/plan"})
        volumes.append({"name": "plan", "configMap": {"name": f"{safe(pool.name)}-plan"}})
    leader = {
        **container,
        "ports": [{"containerPort": SERVE_PORT}],
        "readinessProbe": {"tcpSocket": {"port": SERVE_PORT}},
    }
    name = safe(pool.name)
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": name},
            "spec": {
                "replicas": pool.replicas,
                "leaderWorkerTemplate": {
                    "size": len(counts),
                    "restartPolicy": "RecreateGroupOnPodRestart",
                    "leaderTemplate": {
                        "metadata": {"labels": {"role": "leader"}},
                        "spec": {"containers": [leader], "volumes": volumes},
                    },
                    "workerTemplate": {"spec": {"containers": [container], "volumes": volumes}},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"{name}-leader"},
            "spec": {
                "selector": {"leaderworkerset.sigs.k8s.io/name": name, "role": "leader"},
                "ports": [{"name": "http", "port": SERVE_PORT, "protocol": "TCP", "targetPort": SERVE_PORT}],
            },
        },
    ]
    if files:
        documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-plan"}, "data": files})
    if engine == "trtllm" and len(counts) > 1:
        lost = [*lost, f"TensorRT-LLM on several hosts needs an MPI launcher around the command of pool {pool.name}"]
    return documents, lost


def _files(deployment: Deployment, pool: Pool, engine: str) -> dict[str, str]:
    found: dict[str, str | None] = {}
    if engine == "trtllm":
        found[f"{pool.name}.yaml"] = trtllm_config(deployment, pool)
        found[f"{pool.name}.experts.yaml"] = trtllm_balancer(deployment, pool)
    if engine == "sglang":
        found[f"{pool.name}.experts.json"] = deployment.map_json(pool)
    return {name: text for name, text in found.items() if text}


def _word(word: str, files: dict[str, str]) -> str:
    if "$" in word:
        return f'"{word}"'
    return shlex.quote(f"/plan/{word}" if word in files else word)
