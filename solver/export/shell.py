"""A deployment on hosts without an orchestrator: start scripts, routers, who starts where, and what starts it all."""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files as resources
from typing import Any

from solver.export.command import VARIABLES, Command, quoted
from solver.export.engines import COMMANDS
from solver.export.files import ExportedFiles
from solver.export.layout import Deployment, safe
from solver.export.routing import SERVE, Route, Routing, front_config, router_words, trtllm_servers
from solver.plan import Plan, Pool
from solver.replica import Engine

#: Where an engine says that it is ready: after its graphs are captured.
HEALTH = "/health"
FRONT = "front.sh"
_LOOK_UP = 'import json, sys; print(json.load(open("hosts.json"))["addresses"][sys.argv[1]])'
_ADDRESS = f"""address() {{ python3 -c '{_LOOK_UP}' "$1"; }}"""


def shell(plan: Plan, engine: Engine) -> ExportedFiles:
    """Scripts, engine files, expert maps and routers for one engine."""
    deployment = Deployment(plan, engine)
    routing = Routing(deployment)
    commands = {pool.name: COMMANDS[engine](deployment, pool) for pool in plan.pools}
    files: dict[str, str] = {}
    for pool in plan.pools:
        command = commands[pool.name]
        files |= {f"{safe(pool.name)}.sh": _script(deployment, pool, command), **command.files}
    files |= {f"{route.name}.sh": _router(routing, route) for route in routing.routes if routing.needs_router(route)}
    if routing.front:
        files[FRONT] = _front(routing)
    files["hosts.json"] = json.dumps(_table(deployment, routing), indent=1) + "\n"
    files |= _starters(deployment)
    lost = [sentence for command in commands.values() for sentence in command.lost]
    return ExportedFiles(files, tuple(dict.fromkeys([*lost, *_unlike_checkpoint(deployment)])))


def _unlike_checkpoint(deployment: Deployment) -> list[str]:
    spec = deployment.plan.scenario.llm
    if not isinstance(spec.config, str):
        return [f"the plan knows {deployment.model} by its shape alone: set MODEL to the folder of its checkpoint"]
    if spec.weights != "checkpoint":
        return [f"the plan's weights are not those of {deployment.model}: set MODEL to a checkpoint in its formats"]
    return []


def _script(deployment: Deployment, pool: Pool, command: Command) -> str:
    """A script that one host of one replica runs."""
    line = " ".join(map(quoted, [*command.program, *command.words]))
    more = _more(deployment, pool, command)
    last = _mpi(line) if command.mpi else [*more, f"exec {line}" + (' "${more[@]}"' if more else "")]
    return "\n".join(
        [
            *_heading(
                f"Pool {json.dumps(pool.name)}: {pool.replicas} replicas, {pool.parallelism.shape()} on {pool.device}.",
                "One host of one replica runs this with the variables that hosts.json has for it: deploy.py starts it so.",
            ),
            " ".join([":", *(f'"${{{name}:={value or deployment.model}}}"' for name, value in VARIABLES.items())]),
            *(f'export {name}="${{{name}:-{value}}}"' for name, value in command.environment.items()),
            *last,
            "",
        ]
    )


def _heading(*sentences: str) -> list[str]:
    return ["#!/usr/bin/env bash", *(f"# {one}" for one in sentences), "set -euo pipefail", 'cd "$(dirname "$0")"']


def _more(deployment: Deployment, pool: Pool, command: Command) -> list[str]:
    """Arguments that hosts do not share: of the first and of the others, and vLLM's binding to NUMA nodes.

    The other engines bind by themselves; vLLM must be asked, and refuses where it cannot find the nodes out.
    """
    if deployment.engine != "vllm":
        return []
    leader, follower = (" ".join(map(quoted, words)) for words in (command.leader, command.follower))
    lines = [f"more=({leader})"]
    if pool.hosts_per_replica > 1:
        lines.append(f'[ "$NODE_RANK" = 0 ] || more=({follower})')
    several = '[ -d /sys/devices/system/node/node1 ] && [ -z "${SLURM_JOB_ID:-}" ] && command -v numactl > /dev/null'
    return [*lines, f"if {several}; then more+=(--numa-bind); fi"]


def _mpi(line: str) -> list[str]:
    """The first host starts the ranks of all, whose devices RANKS names: ``host=0,1,2,3 host=...``."""
    return [
        'if [ "$NODE_RANK" != 0 ]; then exit 0; fi',
        "launch=(mpirun)",
        "for part in $RANKS; do",
        "  devices=${part#*=}",
        "  [ ${#launch[@]} = 1 ] || launch+=(:)",
        '  launch+=(-np "$(tr , "\\n" <<< "$devices" | wc -l)" -host "${part%%=*}" -x "CUDA_VISIBLE_DEVICES=$devices")',
        f"  launch+=(trtllm-llmapi-launch {line})",
        "done",
        'exec "${launch[@]}"',
    ]


def _router(routing: Routing, route: Route) -> str:
    """The script of an engine's router; addresses come from hosts.json when it starts."""
    pools = " and ".join(name for names in route.pools for name in names)
    lines = [*_heading(f"Router before {pools}."), _ADDRESS]
    if routing.deployment.engine == "trtllm":
        lines += _here(f"{route.name}.yaml", trtllm_servers(routing, route, _marked))
    words = router_words(routing, route, _marked)
    line = " ".join(f'"{_unmarked(word)}"' if "@" in word else shlex.quote(word) for word in words)
    return "\n".join([*lines, f"exec {line}", ""])


def _front(routing: Routing) -> str:
    lines = [*_heading("The one address: nginx, which spreads requests by the plan's shares."), _ADDRESS]

    def behind(route: Route) -> str:
        return f"127.0.0.1:{routing.port(route)}"

    lines += _here("front.conf", front_config(routing, _marked, behind))
    return "\n".join([*lines, 'exec nginx -p "$PWD" -c front.conf', ""])


def _marked(host: str) -> str:
    return f"@{host}@"


def _unmarked(text: str) -> str:
    """Marked hosts become calls that look their addresses up."""
    return re.sub(r"@([^@]+)@", lambda found: f"$(address {shlex.quote(found[1])})", text)


def _here(name: str, text: str) -> list[str]:
    """Lines that write a file with addresses filled in."""
    return [f"cat > {name} <<END", _unmarked(text.replace("$", "\\$")).rstrip("\n"), "END"]


def _table(deployment: Deployment, routing: Routing) -> dict[str, Any]:
    """What starts where: addresses, one entry for every host of every replica, then the routers, then the front."""
    first = deployment.hosts[0]
    routers = [
        {"name": route.name, "host": first, "script": f"{route.name}.sh", "port": routing.port(route)}
        for route in routing.routes
        if routing.needs_router(route)
    ]
    if routing.front:
        routers.append({"name": "front", "host": first, "script": FRONT, "port": SERVE})
    shares = {
        name: [{"router": route.name, "share": share} for route, share in sorted(shares.items())]
        for name, shares in routing.shares.items()
    }
    alone = routing.alone
    return {
        "serve": {"host": alone.host if alone else first, "port": alone.port if alone else SERVE, "health": HEALTH},
        "addresses": {host: host for host in deployment.hosts},
        "start": _starts(deployment),
        "routers": [{**router, "health": HEALTH} for router in routers],
        "shares": shares,
        "routing": deployment.plan.routing,
    }


def _starts(deployment: Deployment) -> list[dict[str, Any]]:
    """One entry for every host of every replica: what to set, and what to start; a replica's first host comes first."""
    found: list[dict[str, Any]] = []
    for pool, replica in deployment.replicas:
        nodes, ports = deployment.nodes(pool, replica), deployment.ports[pool.name, replica]
        for number, node in enumerate(nodes):
            entry: dict[str, Any] = {
                "pool": pool.name,
                "replica": replica,
                "host": node.host,
                "script": f"{safe(pool.name)}.sh",
                "devices": list(node.devices),
                "environment": {
                    "HEAD": nodes[0].host,
                    "ADDRESS": node.host,
                    "NODE_RANK": str(number),
                    "FIRST_RANK": str(node.first_rank),
                    "CUDA_VISIBLE_DEVICES": node.visible,
                    "PORT": str(ports.serve),
                    "SIDE_CHANNEL_PORT": str(ports.side_channel),
                    "BOOTSTRAP_PORT": str(ports.bootstrap),
                    "MEET_PORT": str(ports.meet),
                },
            }
            if deployment.engine == "trtllm" and len(nodes) > 1:
                entry["environment"]["RANKS"] = " ".join(f"{each.host}={each.visible}" for each in nodes)
            if number == 0:
                entry["health"] = HEALTH
            found.append(entry)
    return found


def _starters(deployment: Deployment) -> dict[str, str]:
    """``deploy.py``, and what calls it over ssh and under Slurm."""
    most = max(_devices_by_host(deployment).values())
    up = _heading("Starts workers, waits until they are ready, then the routers: over ssh. Edit hosts.json first.")
    down = _heading("Stops everything that up.sh started.")
    slurm = [
        "#!/usr/bin/env bash",
        f"#SBATCH --nodes={len(deployment.hosts)} --ntasks-per-node=1 --gpus-per-node={most} --exclusive --job-name=serve",
        "# Serves while the job runs; its nodes stand for the plan's hosts in order.",
        "set -euo pipefail",
        'mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")',
        'exec python3 deploy.py up --slurm --nodes "${nodes[@]}"',
        "",
    ]
    return {
        "deploy.py": resources("solver.export").joinpath("deploy.py").read_text(encoding="utf-8"),
        "up.sh": "\n".join([*up, 'exec python3 deploy.py up "$@"', ""]),
        "down.sh": "\n".join([*down, 'exec python3 deploy.py down "$@"', ""]),
        "slurm.sbatch": "\n".join(slurm),
    }


def _devices_by_host(deployment: Deployment) -> dict[str, int]:
    found = dict.fromkeys(deployment.hosts, 0)
    for place in deployment.plan.placement:
        found[deployment.host_of(place.device)] += 1
    return found
