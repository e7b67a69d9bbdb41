"""llm-d (router 0.9): the pods of :mod:`solver.export.lws` behind Gateway API's InferencePools.

Classes that share pools are one InferencePool with an endpoint picker of its own, which sends each request to a decode
leader; a sidecar there (port 8000, the engine behind it) has the prefill done by the replica that the picker named. A
route before them tells classes apart by the header ``X-Request-Class``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from solver.errors import BadInput
from solver.export.command import VARIABLES
from solver.export.engines import COMMANDS, native
from solver.export.files import ExportedFiles, documents_text
from solver.export.kubernetes import HOST_LABEL, Document, compute_domain, config_map, label_nodes
from solver.export.layout import Deployment, Ports, safe
from solver.export.lws import replica_sets
from solver.export.routing import Routing
from solver.plan import Plan, Pool

_PICKER_IMAGE = "ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.9.0"
_SIDECAR_IMAGE = "ghcr.io/llm-d/llm-d-router-disagg-sidecar:v0.9.0"
#: Label by which the picker tells roles apart, and its values.
_ROLE_LABEL = "llm-d.ai/role"
_ROLES = {"prefill": "prefill", "decode": "decode", "unified": "prefill-decode"}
#: Label of the leaders of an InferencePool.
_POOL_LABEL = "rackplan/inference-pool"
#: Port of an engine behind a sidecar, which takes the engine's usual one; of the picker, and of its health.
_BEHIND_SIDECAR, _PICKER, _PICKER_HEALTH = 8200, 9002, 9003
#: The Gateway that the cluster is expected to have.
_GATEWAY = "inference-gateway"
_READ = ["get", "watch", "list"]


def llmd(plan: Plan) -> ExportedFiles:
    """A manifest for every pool, one for pickers and route, and the labels of nodes.

    Raises
    ------
    BadInput: pools of TensorRT-LLM, or a connector for which the sidecar has no protocol.
    """
    deployment = Deployment(plan, native(plan.pools[0].engine))
    if deployment.engine == "trtllm":
        raise BadInput("llm-d serves pools of vllm and sglang; export a plan of trtllm for lws or dynamo")
    files: dict[str, str] = {}
    warnings = [f"nodes carry the plan's hosts as the label {HOST_LABEL}: run label-nodes.sh before the manifests"]
    warnings.append(f"requests come through a Gateway named {_GATEWAY}, which the cluster must have")
    for pool in plan.pools:
        command = COMMANDS[deployment.engine](deployment, pool)
        replicas, *others = replica_sets(deployment, pool, command)
        _join(deployment, pool, replicas["spec"]["leaderWorkerTemplate"]["leaderTemplate"])
        files[f"{safe(pool.name)}.yaml"] = documents_text([replicas, *others])
        warnings += command.lost
    if any(pool.parallelism.dp > 1 for pool in plan.pools):
        warnings.append("the picker sees a replica as one endpoint; its data-parallel ranks are balanced by the engine")
    if any(len(routes) > 1 for routes in Routing(deployment).shares.values()):
        warnings.append("the picker spreads over pools of one role by their queues, not by the plan's shares")
    together = list(dict.fromkeys(pool.serves for pool in plan.pools))
    documents = [*compute_domain(deployment), _route(deployment, together)]
    for serves in together:
        documents += _picked(deployment, serves)
    files["serve.yaml"] = documents_text(documents)
    files["label-nodes.sh"] = label_nodes(deployment)
    return ExportedFiles(files, tuple(dict.fromkeys(warnings)))


def _name(deployment: Deployment, serves: Sequence[str]) -> str:
    """Of the InferencePool of some classes."""
    together = list(dict.fromkeys(pool.serves for pool in deployment.plan.pools))
    return f"pool-{together.index(tuple(serves))}"


def _join(deployment: Deployment, pool: Pool, leader: Document) -> None:
    """Make a leader's pod a member of its InferencePool, with the sidecar where it decodes."""
    leader["metadata"]["labels"] |= {
        _ROLE_LABEL: _ROLES[pool.role],
        _POOL_LABEL: _name(deployment, pool.serves),
    }
    if pool.role != "decode":
        return
    [engine] = leader["spec"]["containers"]
    for variable in engine["env"]:
        if variable["name"] == "PORT":
            variable["value"] = str(_BEHIND_SIDECAR)
    engine["ports"] = [{"containerPort": _BEHIND_SIDECAR}]
    for probe in (engine["readinessProbe"], engine["startupProbe"]):
        probe["httpGet"] = {**probe["httpGet"], "port": _BEHIND_SIDECAR}
    words = [f"--port={Ports().serve}", f"--vllm-port={_BEHIND_SIDECAR}", "--secure-proxy=false"]
    sidecar: Document = {
        "name": "routing-sidecar",
        "image": _SIDECAR_IMAGE,
        "restartPolicy": "Always",
        "args": [*words, f"--kv-connector={_protocol(deployment, pool)}"],
        "ports": [{"containerPort": Ports().serve}],
    }
    if deployment.engine == "sglang":
        sidecar["env"] = [{"name": "SGLANG_BOOTSTRAP_PORT", "value": VARIABLES["BOOTSTRAP_PORT"]}]
    leader["spec"]["initContainers"] = [sidecar]


def _protocol(deployment: Deployment, pool: Pool) -> str:
    """How the sidecar hands over, by the engine's connector."""
    connector = deployment.connector(pool) or ""
    known = {"NixlConnector": "nixlv2", "MooncakeConnector": "mooncake"}
    if deployment.engine == "vllm" and connector not in known:
        raise BadInput(f"llm-d's sidecar hands over with {' and '.join(known)}, not {connector}; export for lws or dynamo")
    return "sglang" if deployment.engine == "sglang" else known[connector]


def _route(deployment: Deployment, together: Sequence[tuple[str, ...]]) -> Document:
    """Requests to the InferencePool of their class; those that name none to that of the most requests."""
    rates = {c.name: c.requests_per_s for c in deployment.plan.scenario.traffic.classes}
    usual = max(together, key=lambda serves: sum(rates[name] for name in serves))

    def rule(serves: Sequence[str], matches: list[Document]) -> Document:
        backend = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": _name(deployment, serves)}
        found: Document = {"backendRefs": [backend], "timeouts": {"request": "3600s"}}
        return {"matches": matches, **found} if matches else found

    rules = [
        rule(serves, [{"headers": [{"name": "X-Request-Class", "value": name}]} for name in serves])
        for serves in together
        if len(together) > 1
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "serve"},
        "spec": {"parentRefs": [{"name": _GATEWAY}], "rules": [*rules, rule(usual, [])]},
    }


def _picked(deployment: Deployment, serves: Sequence[str]) -> Iterator[Document]:
    """An InferencePool with its endpoint picker."""
    name = _name(deployment, serves)
    picker = f"{name}-picker"
    yield {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {_POOL_LABEL: name}},
            "targetPorts": [{"number": Ports().serve}],
            "endpointPickerRef": {"name": picker, "kind": "Service", "port": {"number": _PICKER}},
        },
    }
    yield from config_map(f"{picker}-config", {"picker.yaml": picker_config(deployment, serves)})
    labels = {"app": picker}
    words = ["--pool-name", name, "--pool-namespace", "$(NAMESPACE)", "--config-file", "/etc/picker/picker.yaml"]
    health = {"grpc": {"port": _PICKER_HEALTH, "service": "envoy.service.ext_proc.v3.ExternalProcessor"}}
    container: Document = {
        "name": "picker",
        "image": _PICKER_IMAGE,
        "args": [*words, "--grpc-port", str(_PICKER), "--grpc-health-port", str(_PICKER_HEALTH)],
        "env": [{"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "ports": [{"containerPort": _PICKER}, {"containerPort": _PICKER_HEALTH}],
        "readinessProbe": {**health, "periodSeconds": 10},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/picker"}],
    }
    spec = {
        "serviceAccountName": picker,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": f"{picker}-config"}}],
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": picker},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    ports = [{"name": "picker", "port": _PICKER, "targetPort": _PICKER, "appProtocol": "http2"}]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": picker},
        "spec": {"selector": labels, "ports": ports},
    }
    yield from _allowed(picker)


def _allowed(picker: str) -> Iterator[Document]:
    """What a picker may read: pods and its pool."""
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": picker}}
    pools = ["inferencepools", "inferenceobjectives", "inferencemodelrewrites"]
    readable = {"": ["pods"], "inference.networking.k8s.io": pools[:1], "inference.networking.x-k8s.io": pools}
    readable["llm-d.ai"] = pools[1:]
    rules = [{"apiGroups": [group], "resources": what, "verbs": _READ} for group, what in readable.items()]
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": picker}}
    yield {**kind, "kind": "Role", "rules": rules}
    subject = {"kind": "ServiceAccount", "name": picker}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": picker}
    yield {**kind, "kind": "RoleBinding", "subjects": [subject], "roleRef": role}


def picker_config(deployment: Deployment, serves: Sequence[str]) -> str:
    """The picker's plugins: the shortest queue of each role, or where a prompt's prefix lies if the plan counts on that.

    Every request of pools apart is handed over, as the plan has it.
    """
    pools = [pool for pool in deployment.plan.pools if pool.serves == tuple(serves)]
    apart = any(pool.role == "prefill" for pool in pools)
    aware = deployment.plan.scenario.traffic.routing == "prefix_aware" and any(map(deployment.reuses, pools))
    scorers = {"queue-scorer": 1} | ({"prefix-cache-scorer": 2} if aware else {})
    filters = ["prefill-filter", "decode-filter"] if apart else ["decode-filter"]
    plugins: list[Document] = [{"type": name} for name in (*scorers, *filters, "max-score-picker")]
    if aware:
        plugins.insert(0, {"type": "approx-prefix-cache-producer"})
    if apart:
        handler: Document = {"type": "disagg-profile-handler"}
        handler["parameters"] = {"deciders": {"prefill": "always-disagg-pd-decider"}}
        plugins += [{"type": "always-disagg-pd-decider"}, handler]
    else:
        plugins.append({"type": "single-profile-handler"})

    def profile(name: str, keeps: str) -> Document:
        weighed = [{"pluginRef": scorer, "weight": weight} for scorer, weight in scorers.items()]
        return {"name": name, "plugins": [{"pluginRef": keeps}, *weighed, {"pluginRef": "max-score-picker"}]}

    profiles = [profile(role, f"{role}-filter") for role in ("prefill", "decode")]
    content: Document = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", "plugins": plugins}
    content["schedulingProfiles"] = profiles if apart else [profile("default", "decode-filter")]
    return yaml.safe_dump(content, sort_keys=False)
