"""What every pod of a deployment on Kubernetes has: container, variables, files, network, and the hosts that it may be on.

Hosts of the plan are nodes with the label ``rackplan/host``, which ``label-nodes.sh`` sets. Pods have addresses of
their own, so that every server keeps the engines' usual ports.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from solver.export.command import VARIABLES, Command, quoted
from solver.export.layout import Deployment, safe
from solver.plan import Pool

#: Label of a node: the plan's host that it is.
HOST_LABEL = "rackplan/host"
#: Label that NVIDIA's operator gives to nodes of one NVLink domain.
NVLINK_LABEL = "nvidia.com/gpu.clique"
#: Resource claim of a channel between the hosts of an NVLink domain (NVIDIA's DRA driver).
CHANNEL = "nvlink-channel"

#: Variables whose values every pod has of its own.
_OF_PODS = ("ADDRESS", "HEAD", "NODE_RANK", "FIRST_RANK")

Document = dict[str, Any]


def environment(command: Command, given: Mapping[str, str]) -> list[Document]:
    """Variables of a container: the engine's, with those that Kubernetes must fill in.

    Parameters
    ----------
    given: values of :data:`VARIABLES` other than the usual.
    """
    found: list[Document] = [{"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    values = {name: value for name, value in VARIABLES.items() if name not in _OF_PODS} | dict(given)
    found += [{"name": name, "value": value} for name, value in values.items()]
    for name, value in command.environment.items():
        expanded = f"$({value[1:]})" if value.removeprefix("$") in VARIABLES else value
        found.append({"name": name, "value": expanded})
    return found


def pod(deployment: Deployment, pool: Pool, container: Document, files: Mapping[str, str]) -> Document:
    """The specification of a pool's pods around their container."""
    count = str(deployment.devices_per_node(pool)[0])
    limits = {"amd.com/gpu" if deployment.device(pool).vendor == "AMD" else "nvidia.com/gpu": count}
    if len(deployment.hosts) > 1 or pool.role != "unified":
        limits["rdma/ib"] = "1"
    container |= {
        "resources": {"limits": limits},
        "securityContext": {"capabilities": {"add": ["IPC_LOCK", "SYS_NICE"]}},
        "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
    }
    spec: Document = {
        "containers": [container],
        "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
        "affinity": {"nodeAffinity": _node_affinity(deployment, pool)},
    }
    if files:
        container["volumeMounts"].append({"name": "plan", "mountPath": "/plan"})
        spec["volumes"].append({"name": "plan", "configMap": {"name": f"{safe(pool.name)}-plan"}})
    if deployment.nvlink_hosts:
        container["resources"]["claims"] = [{"name": CHANNEL}]
        spec["resourceClaims"] = [{"name": CHANNEL, "resourceClaimTemplateName": CHANNEL}]
    return spec


def _node_affinity(deployment: Deployment, pool: Pool) -> Document:
    hosts = sorted({safe(node.host) for replica in range(pool.replicas) for node in deployment.nodes(pool, replica)})
    expression = {"key": HOST_LABEL, "operator": "In", "values": hosts}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    }


def compute_domain(deployment: Deployment) -> list[Document]:
    """The channels over NVLink between hosts, where there are any."""
    if not deployment.nvlink_hosts:
        return []
    channel = {"resourceClaimTemplate": {"name": CHANNEL}}
    return [
        {
            "apiVersion": "resource.nvidia.com/v1beta1",
            "kind": "ComputeDomain",
            "metadata": {"name": "nvlink"},
            "spec": {"numNodes": len(deployment.nvlink_hosts), "channel": channel},
        }
    ]


def config_map(name: str, files: Mapping[str, str]) -> list[Document]:
    """A ConfigMap of some files, where there are any."""
    if not files:
        return []
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(files)}]


def label_nodes(deployment: Deployment) -> str:
    """A script that labels the cluster's nodes with the plan's hosts."""
    lines = [
        "#!/usr/bin/env bash",
        "# Says which node is which host of the plan: host=node, one a line. Put the names of your nodes.",
        "set -euo pipefail",
        "while IFS== read -r host node; do",
        f'  kubectl label --overwrite node "$node" "{HOST_LABEL}=$host"',
        "done <<END",
        *(f"{safe(host)}={safe(host)}" for host in deployment.hosts),
        "END",
        "",
    ]
    return "\n".join(lines)


def shell_line(words: list[str], files: Mapping[str, str]) -> str:
    """Words as a line for ``sh -c``, files where the ConfigMap puts them."""
    return " ".join(shlex.quote(f"/plan/{word}") if word in files else quoted(word) for word in words)
