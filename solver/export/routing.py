"""Routers: from one address to every replica, with the plan's shares.

Engines' routers spread requests evenly over the replicas of each role. Where the plan's shares are those, one router is
enough. Otherwise each pair of a prefill and a decode pool has a router of its own, and a front (nginx) ahead of them
weighs: by class, which a request names in the header ``X-Request-Class``, and by the plan's shares within it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import yaml

from solver.export.layout import Deployment
from solver.plan import Plan, Pool
from solver.replica import ROLES, Role

#: Port of the one address, ports of the routers behind it, and of their metrics.
SERVE, BEHIND, METRICS = 30000, 30001, 29000
#: Shares that differ by less, relative to each other, are equal.
EQUAL = 0.01
#: The least share that nginx can give.
LEAST = 1e-4


@dataclass(frozen=True, order=True)
class Route:
    """Pools behind one router: names by role, in the order of the roles."""

    pools: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """Of its files."""
        return "-".join(["router", *(name for names in self.pools for name in names)])


@dataclass(frozen=True)
class Door:
    """One HTTP server of a replica: where it listens, and its bootstrap port."""

    pool: str
    host: str
    port: int
    bootstrap: int

    def url(self, address: Callable[[str], str]) -> str:
        """Its address, given those of hosts."""
        return f"http://{address(self.host)}:{self.port}"


@dataclass(frozen=True)
class Routing:
    """Routes of a plan, and which share of every class takes which."""

    deployment: Deployment

    @cached_property
    def shares(self) -> dict[str, dict[Route, float]]:
        """By class: its routes with their shares, which sum to 1."""
        return {
            name: dict(_routes(self.deployment.plan, roles)) for name, roles in self.deployment.plan.routing.items()
        }

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """All routes, sorted."""
        return tuple(sorted({route for shares in self.shares.values() for route in shares}))

    @property
    def weighs(self) -> bool:
        """Whether a front must choose between routes."""
        return len(self.routes) > 1

    def doors(self, route: Route, role: Role | None = None) -> list[Door]:
        """Servers of the replicas behind a route, of one role or of all."""
        plan, found = self.deployment.plan, []
        for name in (name for names in route.pools for name in names):
            pool = plan.pool(name)
            for replica in range(pool.replicas) if role in (None, pool.role) else ():
                ports = self.deployment.ports[name, replica]
                host = self.deployment.nodes(pool, replica)[0].host
                found.append(Door(name, host, ports.serve, ports.bootstrap))
        return found

    def needs_router(self, route: Route) -> bool:
        """Whether an engine's router stands before the replicas of a route; otherwise they are reached themselves."""
        split = any(self.deployment.plan.pool(name).role == "prefill" for names in route.pools for name in names)
        return split or (len(self.doors(route)) > 1 and self.deployment.engine != "trtllm")

    @property
    def front(self) -> bool:
        """Whether nginx stands at the one address: it weighs, or spreads over servers that no router knows."""
        return self.weighs or (not self.needs_router(self.routes[0]) and len(self.doors(self.routes[0])) > 1)

    @property
    def alone(self) -> Door | None:
        """The one server of a plan that needs nothing before it."""
        return None if self.front or self.needs_router(self.routes[0]) else self.doors(self.routes[0])[0]

    def port(self, route: Route) -> int:
        """Port of a route's router."""
        return BEHIND + self.routes.index(route) if self.front else SERVE


def _routes(plan: Plan, roles: Mapping[Role, Mapping[str, float]]) -> Iterator[tuple[Route, float]]:
    """Routes of a class and their shares: every choice of one group of pools for each role."""
    groups = [_groups(plan, roles[role]) for role in ROLES if roles.get(role)]
    for choice in product(*groups):
        yield Route(tuple(names for names, _ in choice)), math.prod(share for _, share in choice)


def _groups(plan: Plan, shares: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    """Pools of a role that one router may hold: all of them where shares are those of their replicas, else each alone."""
    used = {name: share for name, share in shares.items() if share > 0}
    replicas = {name: plan.pool(name).replicas for name in used}
    even = {name: replicas[name] / sum(replicas.values()) for name in used}
    if all(abs(used[name] - even[name]) <= EQUAL * even[name] for name in used):
        return [(tuple(sorted(used)), 1.0)]
    return [((name,), share) for name, share in sorted(used.items())]


Address = Callable[[str], str]


def router_words(routing: Routing, route: Route, address: Address) -> list[str]:
    """The command of a route's router.

    Parameters
    ----------
    address: of a host, as the command is to have it.
    """
    engine = routing.deployment.engine
    if engine == "trtllm":
        return ["trtllm-serve", "disaggregated", "-c", f"{route.name}.yaml"]
    program = ["vllm-router"] if engine == "vllm" else ["python3", "-m", "sglang_router.launch_router"]
    metrics = str(METRICS + routing.routes.index(route))
    words = [*program, "--host", "0.0.0.0", "--port", str(routing.port(route)), "--prometheus-port", metrics]
    prefill, decode = routing.doors(route, "prefill"), routing.doors(route, "decode")
    if not prefill:
        doors = routing.doors(route)
        return [*words, "--policy", _policy(routing, doors), "--worker-urls", *(door.url(address) for door in doors)]
    if engine == "vllm":
        connector = routing.deployment.connector(_pool(routing, prefill[0])) or ""
        kind = "mooncake" if connector.startswith("Mooncake") else "nixl"
        words += ["--vllm-pd-disaggregation", "--kv-connector", kind]
        booted = kind == "mooncake"
    else:
        words += ["--pd-disaggregation"]
        booted = True
    words += ["--prefill-policy", _policy(routing, prefill), "--decode-policy", _policy(routing, decode)]
    for door in prefill:
        words += ["--prefill", door.url(address), *([str(door.bootstrap)] if booted else [])]
    for door in decode:
        words += ["--decode", door.url(address)]
    return words


def _policy(routing: Routing, doors: list[Door]) -> str:
    """Requests that find tokens in a cache go where they lie; the others to the less loaded of two."""
    if len(doors) == 1:
        return "round_robin"
    prefix_aware = routing.deployment.plan.scenario.traffic.routing == "prefix_aware"
    return "cache_aware" if prefix_aware and routing.deployment.reuses(_pool(routing, doors[0])) else "power_of_two"


def _pool(routing: Routing, door: Door) -> Pool:
    return routing.deployment.plan.pool(door.pool)


def trtllm_servers(routing: Routing, route: Route, address: Address) -> str:
    """The configuration of ``trtllm-serve disaggregated``."""
    content: dict[str, object] = {"hostname": "0.0.0.0", "port": routing.port(route), "backend": "pytorch"}
    for key, role in (("context_servers", "prefill"), ("generation_servers", "decode")):
        doors = routing.doors(route, role)  # type: ignore[arg-type]
        reused = _policy(routing, doors) == "cache_aware"
        content[key] = {
            "num_instances": len(doors),
            "urls": [door.url(address).removeprefix("http://") for door in doors],
            "router": {"type": "kv_cache_aware" if reused else "load_balancing" if len(doors) > 1 else "round_robin"},
        }
    return yaml.safe_dump(content, sort_keys=False)


def front_config(routing: Routing, address: Address, router_address: Callable[[Route], str]) -> str:
    """nginx's configuration of the front."""
    numbers = {route: f"route_{number}" for number, route in enumerate(routing.routes)}
    lines = ["worker_processes auto;", "daemon off;", "pid front.pid;", "error_log stderr;"]
    lines += ["events { worker_connections 16384; }", "http {", "  access_log off;", "  client_max_body_size 0;"]
    # Beside the file, not where only root may write.
    lines += [f"  {kind}_temp_path front-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    for route, name in numbers.items():
        if routing.needs_router(route):
            servers = [router_address(route)]
        else:
            servers = [door.url(address).removeprefix("http://") for door in routing.doors(route)]
        body = " ".join(f"server {server};" for server in servers)
        lines.append(f"  upstream {name} {{ least_conn; {body} keepalive 256; }}")
    kinds = {name: f"$share_of_{number}" for number, name in enumerate(routing.shares)}
    for name, variable in kinds.items():
        *first, last = sorted(routing.shares[name].items(), key=lambda item: item[1])
        parts = [f"{share:.2%} {numbers[route]};" for route, share in first if share >= LEAST] + [
            f"* {numbers[last[0]]};"
        ]
        lines.append(f'  split_clients "$request_id" {variable} {{ {" ".join(parts)} }}')
    default = max(routing.deployment.plan.scenario.traffic.classes, key=lambda c: c.requests_per_s).name
    choices = [f"default {kinds[default]};", *(f'"{name}" {variable};' for name, variable in kinds.items())]
    lines.append(f"  map $http_x_request_class $route {{ {' '.join(choices)} }}")
    lines += [
        "  server {",
        f"    listen {SERVE};",
        '    location = /health { return 200 "ok"; }',
        "    location / {",
        "      proxy_pass http://$route;",
        '      proxy_http_version 1.1; proxy_set_header Connection "";',
        "      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 1h;",
        "    }",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"
