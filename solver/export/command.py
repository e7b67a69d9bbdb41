"""How the replicas of a pool are started: one command with what differs between hosts, variables and files beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from solver.errors import BadInput
from solver.export.layout import Deployment
from solver.plan import Pool

Words = list[str]

#: Variables that hosts.json gives to every start script, and what they are without it.
VARIABLES = {
    "MODEL": "",
    "HEAD": "127.0.0.1",
    "ADDRESS": "127.0.0.1",
    "NODE_RANK": "0",
    "FIRST_RANK": "0",
    "PORT": "8000",
    "SIDE_CHANNEL_PORT": "5600",
    "BOOTSTRAP_PORT": "8998",
    "MEET_PORT": "20000",
}


@dataclass(frozen=True)
class Command:
    """What starts a replica.

    Attributes
    ----------
    program: the program and its first words.
    words: arguments on every host; ``$NAME`` is one of :data:`VARIABLES`.
    leader, follower: further arguments on a replica's first host, and on its others.
    environment: variables of the engine; they too may name :data:`VARIABLES`.
    files: engine files beside the script, by name.
    lost: one sentence for each part of the plan that the engine cannot be told.
    mpi: several hosts start under one MPI launcher, from the first.
    """

    program: tuple[str, ...]
    words: Words
    leader: Words = field(default_factory=list)
    follower: Words = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    mpi: bool = False


def quoted(word: str) -> str:
    """A word for the shell, in which only the scripts' own variables are expanded."""
    if any(f"${name}" in word for name in VARIABLES):
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'
    return shlex.quote(word)


def kv_dtype(deployment: Deployment, names: Mapping[str, str]) -> str:
    """The engine's name for the plan's KV cache format.

    Raises
    ------
    BadInput: the engine has no such format.
    """
    wanted = deployment.instance.llm.precision.kv_cache.name
    if wanted not in names:
        raise BadInput(f"{deployment.engine} keeps no KV cache in {wanted}; it does in {', '.join(names)}")
    return names[wanted]


def transport(deployment: Deployment, pool: Pool) -> dict[str, str]:
    """Variables of the libraries that move KV caches and experts between devices and hosts.

    UCX carries NIXL: NVLink inside a domain (``cuda_ipc``), RDMA between (``rc``), TCP as the last resort. One rail for
    each message, as every rank has the NIC beside it. NVLink between hosts needs the IMEX service on them.
    """
    found: dict[str, str] = {}
    if pool.role != "unified":
        own = "rocm_ipc,rocm_copy" if deployment.device(pool).vendor == "AMD" else "cuda_ipc,cuda_copy"
        found |= {"UCX_TLS": f"{own},rc,sm,self,tcp", "UCX_MAX_RNDV_RAILS": "1"}
    if deployment.nvlink_hosts:
        found |= {"NCCL_MNNVL_ENABLE": "1", "NCCL_CUMEM_ENABLE": "1", "UCX_CUDA_IPC_ENABLE_MNNVL": "y"}
    if deployment.launch(pool).exchange.startswith("deepep") and pool.domains_per_replica > 1:
        found |= {"NVSHMEM_IB_ENABLE_IBGDA": "1"}
    return found
