"""topograph's models: a tree of switches and blocks of hosts, in YAML or JSON.

::

    switches:
      core: {switches: [leaf-1, leaf-2]}
    blocks:
    - switch: leaf-1
      nodes: ["node[01-18]"]
      annotations: {accelerator.topology.test/domain: nvl1}

Earlier models list ``switches`` by name and have ``capacity_blocks`` with a ``type`` and an ``nvlink`` domain; both are
read. A JSON request to topograph names a model beside it, which is read in its place.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from topologies.importers.findings import Findings
from topologies.importers.hostlists import expand_all
from topologies.importers.plain import line_of, parse_json, parse_yaml
from topologies.importers.source import Source
from topologies.importers.tree import Tree

_DOMAIN = re.compile(r"accelerator\.[\w.-]+/domain|nvidia\.com/gpu\.clique")


def read_yaml(source: Source, host: str) -> Findings:
    """The fabric of a YAML model; errors name the line."""
    return _model(source, parse_yaml(source), "topograph-yaml")


def read_json(source: Source, host: str) -> Findings:
    """The fabric of a JSON model, or of the model that a JSON request names.

    Raises
    ------
    BadInput: neither; or the model that a request names is not beside it.
    """
    data = parse_json(source)
    if isinstance(data, dict) and "provider" in data:
        return _requested(source, data)
    return _model(source, data, "topograph-json")


def _requested(source: Source, request: dict[str, Any]) -> Findings:
    provider = _table(request["provider"])
    params = _table(provider.get("params"))
    name = params.get("modelFileName")
    if not isinstance(name, str) or PurePath(name).name != name or source.folder is None:
        raise source.error(
            None,
            f"a topograph request to provider {str(provider.get('name'))[:40]!r} holds no topology; "
            "give the model, or topograph's answer as topology.conf",
        )
    if not (source.folder / name).is_file():
        raise source.error(None, f"the request names the model {name[:80]!r}, which is not beside it")
    model = Source.of(source.folder / name)
    found = read_yaml(model, "") if not model.text.lstrip().startswith("{") else read_json_model(model)
    note = f"{source.name} is a request that holds no topology; its model {name[:80]} is read"
    return Findings(
        source.name,
        "topograph-json",
        fabric=found.fabric,
        faults=found.faults,
        assumptions=(note, *found.assumptions),
    )


def read_json_model(source: Source) -> Findings:
    """The fabric of a JSON model that must be no request."""
    return _model(source, parse_json(source), "topograph-json")


def _model(source: Source, data: Any, kind: str) -> Findings:
    if not isinstance(data, dict) or not {"switches", "blocks", "capacity_blocks"} & data.keys():
        raise source.error(line_of(data), "a topograph model is a mapping with switches and blocks")
    tree, on_switch = Tree(source), dict[str, str]()
    for name, body in _switches(source, data.get("switches")):
        children = _names(source, body, "switches")
        tree.add_switch(line_of(body) or line_of(name), name, children, _hosts(source, body))
        on_switch |= dict.fromkeys(_names(source, body, "capacity_blocks"), name)
    for body in _blocks(source, data):
        _add_block(source, tree, body, on_switch)
    return tree.findings(kind)


def _switches(source: Source, given: Any) -> list[tuple[str, dict[str, Any]]]:
    """Switches by name, from a mapping of names or from a list of entries with names."""
    if given is None or given == "":
        return []
    if isinstance(given, dict):
        pairs = [(name, body if body not in (None, "") else {}) for name, body in given.items()]
    elif isinstance(given, list) and all(isinstance(body, dict) for body in given):
        pairs = [(_text(source, body, "name"), body) for body in given]
    else:
        raise source.error(line_of(given), "switches must be a mapping of names, or a list of entries with names")
    for name, body in pairs:
        if not isinstance(body, dict):
            raise source.error(line_of(body) or line_of(name), f"switch {name[:60]!r} must be a mapping")
    return pairs


def _blocks(source: Source, data: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key in ("blocks", "capacity_blocks"):
        given = data.get(key) or []
        if not isinstance(given, list) or not all(isinstance(body, dict) for body in given):
            raise source.error(line_of(given), f"{key} must be a list of mappings")
        found += given
    return found


def _add_block(source: Source, tree: Tree, body: dict[str, Any], on_switch: dict[str, str]) -> None:
    line, hosts = line_of(body), _hosts(source, body)
    if not hosts:
        raise source.error(line, "a block lists no nodes")
    switch = body.get("switch") or on_switch.get(str(body.get("name")), "")
    if switch:
        name = _text(source, {"switch": switch}, "switch")
        tree.mention(line, name)
        tree.add_hosts(line, name, hosts)
    annotations = _table(body.get("annotations")) | _table(body.get("labels"))
    labels = [value for key, value in annotations.items() if _DOMAIN.fullmatch(key) and isinstance(value, str)]
    label = body.get("nvlink") or (labels[0] if labels else "")
    if label:
        tree.add_domain(line, _text(source, {"nvlink": label}, "nvlink"), hosts)
    if isinstance(kind := body.get("type"), str) and kind:
        tree.products |= dict.fromkeys(hosts, kind)


def _hosts(source: Source, body: dict[str, Any]) -> list[str]:
    return expand_all(source, line_of(body.get("nodes")) or line_of(body), _names(source, body, "nodes"))


def _names(source: Source, body: dict[str, Any], key: str) -> list[str]:
    given = body.get(key)
    if given is None or given == "":
        return []
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise source.error(line_of(given) or line_of(body), f"{key} must be a list of names")
    return names


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(source: Source, body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise source.error(line_of(value) or line_of(body), f"{key} must be a name")
    return value
