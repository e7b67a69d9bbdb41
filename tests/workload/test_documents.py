"""Documents and files: what YAML and JSON say alike, settings laid over them, and errors that name the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.errors import BadFile, BadInput, UnknownName
from solver.workload import Scenario
from solver.workload.documents import parse_document, parse_json, parse_yaml
from solver.workload.files import override, packaged, read_content, read_text

TEXT = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e9, 1e9).filter(lambda x: x == round(x, 3))
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(TEXT, PLAIN, max_size=4))
def test_json_and_yaml_say_the_same(content: dict[str, Any]) -> None:
    assert parse_json(json.dumps(content), "t") == content
    assert parse_document(json.dumps(content), "t") == content
    assert parse_yaml(yaml.safe_dump(content), "t") == content


def test_a_flow_mapping_of_yaml_is_read_too() -> None:
    assert parse_document("{llm: {config: x}, n: 1}", "t") == {"llm": {"config": "x"}, "n": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "t: must hold a mapping, not list"),
        ("a: 1\nb: [1,\n", "t: line 3 not YAML|t: line 2 not YAML"),
        ('{"a": 1,,}', "t: line 1: not JSON"),
    ],
)
def test_faults_name_file_and_line(text: str, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        parse_document(text, "t")


@pytest.mark.parametrize("name", packaged())
def test_packaged_scenarios_read_write_and_read_alike(name: str) -> None:
    content, folder = read_content(name)
    scenario = Scenario.from_mapping(content, name)
    again = json.loads(json.dumps(scenario.model_dump(mode="json", by_alias=True)))
    assert Scenario.from_mapping(again, name) == scenario
    assert folder == Path(".")


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"llama-70b-16xh100.*a path to a \.yaml"):
        read_content("llama-70b-16xh10")
    with pytest.raises(BadFile, match="cannot be read"):
        read_content(str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(BadFile, match="not UTF-8"):
        read_content(str(tmp_path / "latin.yaml"))
    (tmp_path / "large.yaml").write_text("a: 1\n" * 10)
    with pytest.raises(BadFile, match="larger than"):
        read_text(tmp_path / "large.yaml", 20)


def test_settings_lie_over_the_content() -> None:
    content = {"traffic": {"classes": [{"name": "a"}, {"name": "b"}]}}
    found = override(content, ["traffic.classes.1.name=c", "slo.tpot_p95=30ms", "options.kv_tiers=[hbm]"])
    assert found == {
        "traffic": {"classes": [{"name": "a"}, {"name": "c"}]},
        "slo": {"tpot_p95": "30ms"},
        "options": {"kv_tiers": ["hbm"]},
    }
    assert content == {"traffic": {"classes": [{"name": "a"}, {"name": "b"}]}}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("slo.tpot_p95", "write path.to.field=value"),
        ("=3", "write path.to.field=value"),
        ("traffic.classes.2.name=x", "has entries 0 to 1, not '2'"),
        ("traffic.classes.first.name=x", "not 'first'"),
        ("tags.0.x=1", "tags.0 is a single value"),
        ("a=[1", "not YAML"),
    ],
)
def test_settings_that_lead_nowhere(setting: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        override({"traffic": {"classes": [{"name": "a"}, {"name": "b"}]}, "tags": ["a"]}, [setting])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slo": {"tpot": "30ms"}}, r"s: slo\.tpot: unknown key; nearest: .*tpot_p95"),
        ({"slo": {"tpot_p95": "30 parsecs"}}, r"s: slo\.tpot_p95: "),
        ({"slo": {"tpot_p95": []}}, "expected a number with a unit, not list"),
        ({"traffic": {"classes": [{"name": "a", "prompt_tokens": 9}]}}, "output_tokens: this key is missing"),
        ({"options": {"max_pools": 17}}, r"s: options\.max_pools: .*17"),
        ({"engine": "vlm"}, "nearest.*vllm|vllm"),
        ({"constraints": {"roles": ["prefill"]}}, "can serve nothing"),
        ({"constraints": {"other_pools": False}}, "leaves nothing"),
        ({"options": {"kv_tiers": ["dram"]}}, "name hbm too"),
        ({"wat": 1}, "s: wat: unknown key"),
    ],
)  # fmt: skip
def test_faults_name_the_path(change: dict[str, Any], said: str) -> None:
    content, _ = read_content("llama-70b-16xh100")
    with pytest.raises(BadInput, match=said) as caught:
        Scenario.from_mapping(content | change, "s")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("options.max_pools=many", "options.max_pools: must be a whole number (given 'many')"),
        ("options.gap=7", "options.gap: must be at most 1 (given '7')"),
        ("options.disaggregate=7", "options.disaggregate: must be true or false, or 'auto' (given '7')"),
        ("options.kv_tiers=[x]", "options.kv_tiers.0: must be 'hbm', 'dram', 'flash' or 'remote' (given 'x')"),
        ("slo=5", "slo: must be a mapping of keys to values (given '5')"),
        ("constraints.pools=3", "constraints.pools: must be a list (given '3')"),
        ("traffic.classes=[]", "Traffic: classes: must not be empty"),
        ("owned=maybe", "owned: must be true or false (given 'maybe')"),
        ("expert_loads=[3]", "expert_loads.0: must be text (given '3')"),
        ("prices={h100: -3}", "prices.h100: must be at least 0 (given '-3')"),
    ],
)
def test_faults_are_told_in_words_of_the_file(setting: str, says: str) -> None:
    """Not in those of the library that reads it, whose unions also put what was tried into the path."""
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {"classes": [{"name": "a", "prompt_tokens": 100, "output_tokens": 10, "requests_per_s": 1}]},
    }
    with pytest.raises(BadInput) as told:
        Scenario.from_mapping(override(content, [setting]), "mine")
    assert str(told.value).endswith(says)
