"""``rackplan schema``: what is read fits what is published, and what is refused does not."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema
import pytest

import topologies
from solver.workload.files import packaged, read_content
from tests.cli.command_line import rackplan


@cache
def validator(what: str) -> Any:
    published = json.loads(rackplan("schema", what).out)
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


@pytest.mark.parametrize("what", ["plan", "scenario", "cluster", "training", "training-plan"])
def test_every_kind_is_a_schema(what):
    assert validator(what)


@pytest.mark.parametrize("name", packaged())
def test_packaged_scenarios_fit(name):
    content, _ = read_content(name)
    validator("scenario").validate(content)
    validator("cluster").validate(content["cluster"])
    assert not validator("scenario").is_valid(content | {"sloo": {}})
    assert not validator("scenario").is_valid(content | {"cluster": {"builder": "hgx", "knodes": 1}})


def test_traffic_is_classes_with_a_rate_or_users_or_a_trace():
    content, _ = read_content("llama-70b-16xh100")
    one = {"name": "chat", "prompt_tokens": 100, "output_tokens": 10}
    users = {"count": 80, "tokens_per_s": 25, "think": "14s"}
    for traffic, fits in (
        ({"trace": "mine.jsonl", "classes": 4, "requests_per_s": 9}, True),
        ({"classes": [one | {"users": users}]}, True),
        ({"classes": [one | {"requests_per_s": 2}]}, True),
        ({"classes": [one]}, False),
        ({"classes": [one | {"requests_per_s": 2, "users": users}]}, False),
        ({"trace": "mine.jsonl", "clases": 4}, False),
    ):
        assert validator("scenario").is_valid(content | {"traffic": traffic}) is fits, traffic


@pytest.mark.parametrize("spec", [{"builder": "nvl72", "racks": 1}, {"builder": "torus", "shape": [4, 4]}])
def test_clusters_fit_as_descriptions_and_as_files(spec):
    validator("cluster").validate(spec)
    graph = json.loads(json.dumps(topologies.to_plain(topologies.build(spec))))
    validator("cluster").validate({"graph": graph})
    del graph["nodes"][0]["kind"]
    assert not validator("cluster").is_valid({"graph": graph})
