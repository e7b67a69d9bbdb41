"""Files that are hostile, broken or renamed."""

from __future__ import annotations

import importlib.util
import random
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import BadInput, RackplanError, describe
from topologies.importers import FORMATS, read

_SPEC = importlib.util.spec_from_file_location("import_texts", Path(__file__).with_name("import_texts.py"))
texts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(texts)

LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
ALIASES = "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
HOSTILE = {
    "entities that expand": f'<!DOCTYPE graphml [<!ENTITY a0 "ha">{LAUGHS}]><graphml><graph>&a9;</graph></graphml>',
    "an external entity": '<!DOCTYPE system [<!ENTITY e SYSTEM "file:///etc/passwd">]><system>&e;</system>',
    "an external entity by parameter": '<!DOCTYPE system [<!ENTITY % e SYSTEM "file:///etc/passwd">%e;]><system/>',
    "an attribute list": '<!DOCTYPE system [<!ATTLIST cpu numaid CDATA "0">]><system/>',
    "deep XML": "<system>" + "<pci>" * 200_000,
    "much XML": "<system>" + "<a/>" * 510_000 + "</system>",
    "aliases that expand": f"switches:\n  a0: &a0 [x, x, x]\n{ALIASES}",
    "an alias of itself": "switches: &a\n  b: *a\n",
    "a python object": "switches: !!python/object/apply:os.system [id]\nblocks: 5\n",
    "deep YAML": "switches: " + "[" * 100_000,
    "much YAML": "switches: [" + "[]," * 400_000 + "]",
    "deep JSON": '{"nodes": ' + "[" * 500_000,
    "endless digits": '{"nodes": [{"id": ' + "9" * 100_000 + "}]}",
    "endless hosts": "SwitchName=a Nodes=n[0-999999999]",
    "endless hosts by product": "SwitchName=a Nodes=" + "[0-9]" * 8,
    "endless hosts by lines": "\n".join(f"SwitchName=a{i} Nodes=n[0-99999]" for i in range(100)),
    "a long word": f"SwitchName=a Nodes={'a' * 90_000}!",
    "a long line": "SwitchName=a Nodes=" + "a" * 1_000_000,
    "a long name": f"SwitchName={'a' * 300} Nodes=n1",
    "blank lines": "\n" * 1_000_000 + "x",
    "nothing": "  \n",
    "no text": b"\x7fELF\x02\x01\x00\x00" * 100,
    "not UTF-8": b"SwitchName=a\nNodes=\xff\n",
    "UTF-16": "SwitchName=a Nodes=b".encode("utf-16"),
    "a terminal's codes": b"SwitchName=a\x1b]0;title\x07 Nodes=n1",
    "a name of two lines": '{"switches": {"a\\nb": {}}, "blocks": [{"switch": "a\\nb", "nodes": ["n1"]}]}',
}


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(file, content):
    start = time.monotonic()
    with pytest.raises(BadInput) as caught:
        read(file(content), device="h100")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith((str(file(content)), "cannot"))
    assert len(str(caught.value)) < 600
    assert time.monotonic() - start < 20


def test_the_line_is_named(file):
    for content, line in [
        (HOSTILE["an external entity"], 1),
        ("\n\n" + HOSTILE["deep YAML"], 3),
        (HOSTILE["not UTF-8"], 2),
        ("SwitchName=a Nodes=b\n\x01", 2),
        ("<system>\n<cpu>\n</system>", 3),
        ('{"nodes": [],\n"links": [,]}', 2),
        ("switches:\n  a: {}\n  a: {}\n", 3),
    ]:
        with pytest.raises(BadInput) as caught:
            read(file(content))
        assert f"file:{line}: " in str(caught.value)


def test_a_plain_doctype_is_not_followed(file):
    assert "nvsmi_device_v12.dtd" in texts.LOG
    assert read(file(texts.LOG)).complete
    assert read(file(texts.LOG.replace("nvsmi_device_v12.dtd", "file:///etc/passwd"))).complete


def test_a_file_that_is_too_large(file, monkeypatch):
    monkeypatch.setattr("topologies.importers.source.MAX_BYTES", 1000)
    with pytest.raises(BadInput, match="larger than"):
        read(file(texts.LOG))


@pytest.mark.parametrize("path", ["", ".", "/nowhere/at all", "/proc/self/mem", "a\0b"])
def test_what_cannot_be_read(path):
    with pytest.raises(BadInput):
        read(path)


@st.composite
def damaged(draw):
    """A file of some format with bytes flipped, cut out, doubled or cut off."""
    data = bytearray(texts.TEXTS[draw(st.sampled_from(FORMATS))].encode())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 60))
        match draw(st.sampled_from(["flip", "cut", "double", "end", "insert"])):
            case "flip" if data:
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + length]
            case "end":
                del data[at:]
            case _:
                data[at:at] = draw(st.sampled_from([b'"', b"<", b"[", b"{", b"&", b"*a", b"99999999", b"\n", b"null"]))
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(damaged(), st.sampled_from([None, "h100", "gb200"]))
def test_damage_is_never_more_than_a_clear_error(data, device):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        try:
            found = read(path, device=device)
        except RackplanError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return
    assert "\n" not in "".join(found.faults + found.assumptions)
    assert describe(found.graph)


def structure(graph):
    """The graph with its vertices in the order of the file, as numbers."""
    number = {vertex: index for index, vertex in enumerate(graph)}
    named = ("host", "domain", "rack")
    nodes = [{key: value for key, value in data.items() if key not in named} for _, data in graph.nodes(data=True)]
    edges = sorted((sorted((number[a], number[b])), sorted(data.items())) for a, b, data in graph.edges(data=True))
    return nodes, edges


@pytest.mark.parametrize("name", ["ibnetdiscover", "topograph-yaml", "kubernetes-nodes", "topograph-json"])
@pytest.mark.parametrize("seed", range(3))
def test_renaming_hosts_changes_only_names(file, name, seed):
    text, renamed = texts.TEXTS[name], texts.TEXTS[name]
    numbers = random.Random(seed).sample(range(10, 99), 4)
    for index, number in enumerate(numbers, start=1):
        for old in (f"node-{index}", f"node{index}", f'"n{index}"'):
            renamed = renamed.replace(old, old.replace(str(index), f"X{number}") if '"' not in old else f'"m{number}"')
    renamed = renamed.replace("node[1-2]", f"nodeX{numbers[0]}, nodeX{numbers[1]}")
    assert renamed != text
    before, after = (read(file(content), device="gb200").graph for content in (text, renamed))
    assert sorted(before) != sorted(after)
    assert len(before) == len(after)
    assert sorted(map(str, structure(before)[0])) == sorted(map(str, structure(after)[0]))
    degrees = [sorted(dict(graph.degree).values()) for graph in (before, after)]
    assert degrees[0] == degrees[1]


@pytest.mark.parametrize("name", ["nvidia-smi-topo", "nvidia-smi-xml", "nccl-xml"])
def test_the_name_of_a_host_is_only_a_name(file, name):
    here, there = (read(file(texts.TEXTS[name]), host=host, device="h200").graph for host in ("a", "elsewhere"))
    assert structure(here) == structure(there)
    assert all(vertex.startswith("elsewhere") for vertex in there)
