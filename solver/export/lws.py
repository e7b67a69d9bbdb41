"""LeaderWorkerSet (leaderworkerset.x-k8s.io/v1): a group of pods for each replica, routers before them, one Service."""

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
    shell_line,
)
from solver.export.layout import Deployment, Ports, safe
from solver.export.routing import SERVE, Door, Route, Routing, front_config, router_words, trtllm_servers
from solver.export.shell import HEALTH
from solver.plan import Plan, Pool
from solver.replica import Engine

IMAGES: dict[Engine, str] = {
    "vllm": "vllm/vllm-openai:v0.33.0",
    "sglang": "lmsysorg/sglang:v0.5.23",
    "trtllm": "nvcr.io/nvidia/tensorrt-llm/release:1.2.0",
}
_ROUTER_IMAGES: dict[Engine, str] = {
    "vllm": "vllm/vllm-router:v0.1.17",
    "sglang": "lmsysorg/sglang-router:v0.3.2",
    "trtllm": IMAGES["trtllm"],
}
_GROUP_LABEL = "leaderworkerset.sigs.k8s.io/group-key"
#: Secret with the keys by which a leader's MPI launcher reaches its workers.
_KEYS = "mpi-ssh"
#: Name of the Service at the one address.
_SERVICE = "serve"


def lws(plan: Plan) -> ExportedFiles:
    """A manifest for every pool, one for the routers, and the labels of nodes."""
    deployment = Deployment(plan, native(plan.pools[0].engine))
    files: dict[str, str] = {}
    warnings: list[str] = []
    for pool in plan.pools:
        command = COMMANDS[deployment.engine](deployment, pool)
        files[f"{safe(pool.name)}.yaml"] = documents_text(replica_sets(deployment, pool, command))
        warnings += command.lost
        if command.mpi:
            warnings.append(f"pool {pool.name} starts over MPI: its pods read SSH keys from the Secret {_KEYS}")
    files["serve.yaml"] = documents_text([*compute_domain(deployment), *_routers(Routing(deployment))])
    files["label-nodes.sh"] = label_nodes(deployment)
    warnings.append(f"nodes carry the plan's hosts as the label {HOST_LABEL}: run label-nodes.sh before the manifests")
    return ExportedFiles(files, tuple(dict.fromkeys(warnings)))


def replica_sets(deployment: Deployment, pool: Pool, command: Command) -> list[Document]:
    """The LeaderWorkerSet of a pool, and the ConfigMap of its files where it has any."""
    name, size = safe(pool.name), pool.hosts_per_replica
    leader, worker = (_pod(deployment, pool, command, more) for more in (command.leader, command.follower))
    front = leader["containers"][0]
    front["ports"] = [{"containerPort": Ports().serve}]
    # Graphs of large LLMs take many minutes to capture: an hour until it counts as failed.
    probe = {"httpGet": {"path": HEALTH, "port": Ports().serve}, "periodSeconds": 10}
    front |= {"readinessProbe": probe, "startupProbe": {**probe, "failureThreshold": 360}}
    return [
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": name},
            "spec": {
                "replicas": pool.replicas,
                "leaderWorkerTemplate": {
                    "size": size,
                    "restartPolicy": "RecreateGroupOnPodRestart",
                    "leaderTemplate": {"metadata": {"labels": {"role": "leader"}}, "spec": leader},
                    "workerTemplate": {"spec": worker},
                },
            },
        },
        *config_map(f"{name}-plan", command.files),
    ]


def _pod(deployment: Deployment, pool: Pool, command: Command, more: list[str]) -> Document:
    local = max(pool.parallelism.dp // pool.hosts_per_replica, 1)
    first = f"FIRST_RANK=$((LWS_WORKER_INDEX * {local}))"
    start = f"export HEAD=$LWS_LEADER_ADDRESS NODE_RANK=$LWS_WORKER_INDEX {first}"
    line = shell_line([*command.program, *command.words, *more], command.files)
    if command.mpi:
        line = _over_mpi(deployment, pool, line)
    container: dict[str, Any] = {
        "name": deployment.engine,
        "image": IMAGES[deployment.engine],
        "command": [
            "bash",
            "-c",
            f"{start}; {line}" if command.mpi else f"{start}; exec {line}",
        ],
        "env": environment(command, {"MODEL": deployment.model}),
    }
    spec = pod(deployment, pool, container, command.files)
    if command.mpi:
        container["volumeMounts"].append({"name": _KEYS, "mountPath": "/root/.ssh"})
        spec["volumes"].append({"name": _KEYS, "secret": {"secretName": _KEYS, "defaultMode": 0o400}})
    if pool.hosts_per_replica > 1:
        spec["affinity"] |= _group(pool)
    return spec


def _over_mpi(deployment: Deployment, pool: Pool, line: str) -> str:
    """The leader starts the ranks of all pods of its group, which listen for it."""
    count, name = deployment.devices_per_node(pool)[0], safe(pool.name)
    others = [f"$HOSTNAME-{number}.{name}:{count}" for number in range(1, pool.hosts_per_replica)]
    hosts = ",".join([f"$HOSTNAME.{name}:{count}", *others])
    ranks = pool.parallelism.shape().devices
    launch = f"mpirun --allow-run-as-root -np {ranks} -host {hosts} trtllm-llmapi-launch {line}"
    return f'if [ $NODE_RANK = 0 ]; then exec {launch}; else exec "$(command -v sshd)" -D; fi'


def _group(pool: Pool) -> Document:
    """Pods of one replica are on hosts of their own, and inside one NVLink domain where the plan has them there."""

    def term(topology: str) -> Document:
        return {
            "topologyKey": topology,
            "labelSelector": {"matchExpressions": [{"key": _GROUP_LABEL, "operator": "Exists"}]},
            "matchLabelKeys": [_GROUP_LABEL],
        }

    required = "requiredDuringSchedulingIgnoredDuringExecution"
    found: Document = {"podAntiAffinity": {required: [term("kubernetes.io/hostname")]}}
    if pool.domains_per_replica == 1:
        found["podAffinity"] = {required: [term(NVLINK_LABEL)]}
    return found


def _routers(routing: Routing) -> list[Document]:
    """Deployments of routers and of the front, and the Services before them."""
    deployment = routing.deployment
    documents: list[Document] = []
    for route in routing.routes:
        if not routing.needs_router(route):
            continue
        files = {}
        if deployment.engine == "trtllm":
            files[f"{route.name}.yaml"] = trtllm_servers(_InPods(deployment), route, str)
        line = shell_line(router_words(_InPods(deployment), route, str), files)
        name = safe(route.name) if routing.front else _SERVICE
        documents += _served(name, _ROUTER_IMAGES[deployment.engine], line, routing.port(route), files)
    if alone := routing.alone:
        leader = {"leaderworkerset.sigs.k8s.io/name": safe(alone.pool), "role": "leader"}
        documents.append(_service(_SERVICE, leader, SERVE, Ports().serve))
    if routing.front:

        def behind(route: Route) -> str:
            return f"{safe(route.name)}:{routing.port(route)}"

        files = {"front.conf": front_config(_InPods(deployment), str, behind)}
        documents += _served(_SERVICE, "nginx:1.29", "nginx -p /tmp -c /plan/front.conf", SERVE, files)
    return documents


class _InPods(Routing):
    """Routes over the addresses of pods: a leader is ``SET-REPLICA.SET``, and keeps the engine's usual ports."""

    def doors(self, route: Route, role: Any = None) -> list[Door]:
        found = []
        for name in (name for names in route.pools for name in names):
            pool = self.deployment.plan.pool(name)
            for replica in range(pool.replicas) if role in (None, pool.role) else ():
                host = f"{safe(name)}-{replica}.{safe(name)}"
                found.append(Door(name, host, Ports().serve, Ports().bootstrap))
        return found


def _served(name: str, image: str, line: str, port: int, files: dict[str, str]) -> list[Document]:
    """A Deployment of one pod that runs a line and is healthy at a port, and its Service."""
    container: Document = {
        "name": "router",
        "image": image,
        "command": ["sh", "-c", f"exec {line}"],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": HEALTH, "port": port}, "periodSeconds": 10},
    }
    spec: Document = {"containers": [container]}
    if files:
        container["volumeMounts"] = [{"name": "plan", "mountPath": "/plan"}]
        spec["volumes"] = [{"name": "plan", "configMap": {"name": f"{name}-plan"}}]
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
        _service(name, labels, port, port),
        *config_map(f"{name}-plan", files),
    ]


def _service(name: str, labels: dict[str, str], port: int, target: int) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": port, "targetPort": target}]},
    }
