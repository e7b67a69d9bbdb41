"""Start scripts for hosts without an orchestrator: one script per pool, and a table of who starts where."""

from __future__ import annotations

import json
import shlex

from solver.export.engines import ARGUMENTS, PROGRAMS, Words, trtllm_balancer, trtllm_config
from solver.export.files import ExportedFiles
from solver.export.layout import MEET_PORT, SERVE_PORT, Deployment, safe
from solver.plan import Plan, Pool

#: Variables of the scripts, which the shell expands.
_VARIABLES = ("$MODEL", "$HEAD", "$NODE_RANK", "$FIRST_RANK")


def shell(plan: Plan, engine: str) -> ExportedFiles:
    """Scripts, engine files and expert maps of every pool for one engine."""
    deployment = Deployment(plan)
    files: dict[str, str] = {}
    warnings: list[str] = []
    for pool in plan.pools:
        words, lost = ARGUMENTS[engine](deployment, pool)
        warnings += lost
        files[f"{safe(pool.name)}.sh"] = _script(deployment, pool, engine, words)
        if engine == "sglang" and (text := deployment.map_json(pool)):
            files[f"{pool.name}.experts.json"] = text
        if engine == "trtllm":
            files[f"{pool.name}.yaml"] = trtllm_config(deployment, pool)
            if balancer := trtllm_balancer(deployment, pool):
                files[f"{pool.name}.experts.yaml"] = balancer
    files["hosts.json"] = json.dumps({"start": _starts(deployment), "routing": plan.routing}, indent=1) + "\n"
    return ExportedFiles(files, tuple(dict.fromkeys(warnings)))


def _script(deployment: Deployment, pool: Pool, engine: str, words: Words) -> str:
    """A script that one host of one replica runs; its variables stand in hosts.json."""
    count = len(deployment.nodes(pool, 0))
    line = " ".join(_quoted(word) for word in [*PROGRAMS[engine], *words])
    before = []
    if engine == "trtllm" and count > 1:
        ranks = pool.parallelism.shape().devices
        before = [
            f"# On {count} hosts: start this under Slurm or mpirun with {ranks} ranks, {ranks // count} on each host."
        ]
        line = line.replace("trtllm-serve", "trtllm-llmapi-launch trtllm-serve", 1)
    if engine == "vllm" and pool.role != "unified":
        before += ['export VLLM_NIXL_SIDE_CHANNEL_HOST="$(hostname -I | cut -d" " -f1)"']
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            f"# Pool {json.dumps(pool.name)}: {pool.replicas} replicas, {pool.parallelism.shape()} on {pool.device}.",
            "# Set MODEL to the checkpoint (a path or Hugging Face name), and HEAD (the address of the replica's first host),",
            "# NODE_RANK, FIRST_RANK and CUDA_VISIBLE_DEVICES as hosts.json says.",
            f"# Serves on port {SERVE_PORT}; ranks meet on {MEET_PORT}.",
            "set -euo pipefail",
            f': "${{MODEL:={deployment.model}}}" "${{HEAD:=127.0.0.1}}" "${{NODE_RANK:=0}}" "${{FIRST_RANK:=0}}"',
            *before,
            f"exec {line}",
            "",
        ]
    )


def _quoted(word: str) -> str:
    """A word for the shell, in which only the scripts' own variables are expanded."""
    if any(variable in word for variable in _VARIABLES):
        return f'"{word}"'
    return shlex.quote(word)


def _starts(deployment: Deployment) -> list[dict[str, object]]:
    """One entry for every host of every replica: what to set, and what to start."""
    found: list[dict[str, object]] = []
    for pool in deployment.plan.pools:
        for replica in range(pool.replicas):
            nodes = deployment.nodes(pool, replica)
            for number, node in enumerate(nodes):
                found.append(
                    {
                        "pool": pool.name,
                        "replica": replica,
                        "host": node.host,
                        "script": f"{safe(pool.name)}.sh",
                        "devices": list(node.devices),
                        "environment": {
                            "HEAD": nodes[0].host,
                            "NODE_RANK": str(number),
                            "FIRST_RANK": str(node.first_rank // pool.parallelism.tp),
                            "CUDA_VISIBLE_DEVICES": node.visible,
                        },
                    }
                )
    return found
