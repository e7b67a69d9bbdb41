"""llm-d: pods, pickers and route fit together, and say what the plan says."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from packaged_plans import SCENARIOS, solved

from solver.errors import BadInput
from solver.export import export
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

CASES = [(name, "vllm") for name in SCENARIOS] + [("qwen3-235b-16xh200", "sglang")]
#: Plugins of llm-d's router 0.9 that a picker may name.
PLUGINS = {
    "approx-prefix-cache-producer", "prefix-cache-scorer", "queue-scorer", "prefill-filter", "decode-filter",
    "max-score-picker", "disagg-profile-handler", "single-profile-handler", "always-disagg-pd-decider",
}  # fmt: skip


def documents(found: Plan) -> dict[str, list[dict[str, Any]]]:
    """Every document that is written, by kind."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for name, text in export(found, "llm-d").files.items():
        for document in yaml.safe_load_all(text) if name.endswith(".yaml") else ():
            by_kind.setdefault(document["kind"], []).append(document)
    return by_kind


def leaders(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Leader templates by name of their set."""
    sets = found["LeaderWorkerSet"]
    return {each["metadata"]["name"]: each["spec"]["leaderWorkerTemplate"]["leaderTemplate"] for each in sets}


def exportable(name: str, engine: str) -> Plan:
    """A packaged plan, if llm-d's sidecar has a protocol for its connector."""
    found = solved(name, engine)
    if any("Push" in (pool.connector or "") for pool in found.pools):
        with pytest.raises(BadInput, match="sidecar"):
            export(found, "llm-d")
        pytest.skip("the sidecar does not push")
    return found


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_every_leader_is_in_one_pool_and_answers_at_its_port(name: str, engine: str) -> None:
    found = exportable(name, engine)
    written = documents(found)
    [pool] = written["InferencePool"]
    [port] = pool["spec"]["targetPorts"]
    for name, template in leaders(written).items():
        labels, spec = template["metadata"]["labels"], template["spec"]
        assert pool["spec"]["selector"]["matchLabels"].items() <= labels.items()
        role = found.pool(name).role
        assert labels["llm-d.ai/role"] == ("prefill-decode" if role == "unified" else role)
        sidecars, [served] = spec.get("initContainers", []), spec["containers"]
        [own] = [variable["value"] for variable in served["env"] if variable["name"] == "PORT"]
        assert served["readinessProbe"]["httpGet"]["port"] == int(own) == served["ports"][0]["containerPort"]
        if role == "decode":
            [sidecar] = sidecars
            assert f"--port={port['number']}" in sidecar["args"]
            assert f"--vllm-port={own}" in sidecar["args"]
            assert sidecar["restartPolicy"] == "Always"
            assert int(own) != port["number"]
        else:
            assert not sidecars
            assert int(own) == port["number"]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_the_picker_names_plugins_that_exist_and_only_those_it_has(name: str, engine: str) -> None:
    found = exportable(name, engine)
    written = documents(found)
    [config] = [yaml.safe_load(c["data"]["picker.yaml"]) for c in written["ConfigMap"] if "picker.yaml" in c["data"]]
    has = {plugin["type"] for plugin in config["plugins"]}
    assert has <= PLUGINS
    profiles = {p["name"]: [plugin["pluginRef"] for plugin in p["plugins"]] for p in config["schedulingProfiles"]}
    assert {reference for references in profiles.values() for reference in references} <= has
    apart = any(pool.role == "prefill" for pool in found.pools)
    assert set(profiles) == ({"prefill", "decode"} if apart else {"default"})
    assert ("always-disagg-pd-decider" in has) == apart


def test_the_picker_is_found_and_allowed_to_read() -> None:
    written = documents(exportable("deepseek-v3-32xh200", "vllm"))
    [pool], [service] = written["InferencePool"], [s for s in written["Service"] if s["metadata"]["name"].endswith("picker")]
    [deployment] = [d for d in written["Deployment"] if d["metadata"]["name"].endswith("picker")]
    asked = pool["spec"]["endpointPickerRef"]
    assert asked["name"] == service["metadata"]["name"]
    assert asked["port"]["number"] == service["spec"]["ports"][0]["port"]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    [role], [binding] = written["Role"], written["RoleBinding"]
    assert binding["subjects"][0]["name"] == account == written["ServiceAccount"][0]["metadata"]["name"]
    assert {"pods", "inferencepools"} <= {what for rule in role["rules"] for what in rule["resources"]}


def test_classes_with_pools_of_their_own_are_told_apart_by_header() -> None:
    slow = {"ttft_p95": "20s", "tpot_p95": "200ms"}
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {
            "classes": [
                {"name": "chat", "prompt_tokens": 500, "output_tokens": 200, "requests_per_s": 2},
                {"name": "batch", "prompt_tokens": 30_000, "output_tokens": 300, "requests_per_s": 3, "slo": slow},
            ]
        },
        "slo": {"ttft_p95": "300ms", "tpot_p95": "9ms"},
        "billing": "device",
        "engine": "vllm",
        "options": {"disaggregate": False},
    }
    found = solve_scenario(Scenario.from_mapping(content, "test"), Effort(time_limit_s=120, seed=0)).plan
    written = documents(found)
    [route] = written["HTTPRoute"]
    *by_class, usual = route["spec"]["rules"]
    sets = leaders(written)
    pools = {pool["metadata"]["name"]: pool["spec"]["selector"]["matchLabels"] for pool in written["InferencePool"]}
    assert len(pools) == 2
    for rule in by_class:
        [match], [backend] = [m["headers"][0]["value"] for m in rule["matches"]], rule["backendRefs"]
        members = {n for n, t in sets.items() if pools[backend["name"]].items() <= t["metadata"]["labels"].items()}
        assert members == {pool.name for pool in found.pools if match in pool.serves}
    assert usual["backendRefs"] == next(r["backendRefs"] for r in by_class if r["matches"][0]["headers"][0]["value"] == "batch")


def test_tensorrt_llm_is_refused() -> None:
    with pytest.raises(BadInput, match="trtllm"):
        export(solved("llama-70b-16xh100", "trtllm"), "llm-d")
