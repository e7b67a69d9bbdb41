"""Files that mean harm: they neither run code, nor grow, nor make the reader read elsewhere, nor crash it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import topologies
from solver.errors import BadInput
from solver.experts.files.load_files import read_loads
from solver.plan import Plan
from solver.traces.embedding import with_classes
from solver.workload.documents import MOST_TOKENS, MOST_VALUES, parse_document
from solver.workload.files import override, read_content
from topologies import importers

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
ENTITIES = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
#: Seconds of this process that a refusal may take; PyYAML without its C library takes most of them.
MOST_S = 15
#: Texts, and a word of ours in the refusal; where the library may see it first, only that it is refused as YAML.
YAML = {
    "aliases that multiply": (LAUGHS, "alias"),
    "an alias of itself": ("a: &a [*a]\n", "alias"),
    "merged aliases": ("a: &a {x: 1}\nb: {<<: *a}\n", "alias"),
    "code": ("a: !!python/object/apply:os.system [touch ran]\n", "tag"),
    "another file": ("a: !include /etc/passwd\n", "tag"),
    "a set": ("!!set {a}\n", "tag"),
    "a mapping that is a list": ("a: !!map [x]\n", "tag"),
    "a word that is no truth": ("a: !!bool x\n", "tag"),
    "depth that overflows the C stack": ("a: " + "[" * 200_000 + "]" * 200_000, "levels|not YAML"),
    "depth by indentation": ("".join(" " * level + "a:\n" for level in range(300)), "levels"),
    "more lists than fit": ("a: [" + "[]," * (MOST_TOKENS // 3) + "]", "JSON"),
    "a number in base 60 of many digits": ("a: 1" + ":1" * 100_000, "digits"),
    "a number that no float holds": ("a: 1" + ":1" * 250 + ".5", "digits"),
    "hexadecimal digits": ("a: 0x" + "f" * 100_000, "digits"),
    "a list as a key": ("? [a]\n: 1\n", "key"),
    "two documents": ("a: 1\n---\nb: 2\n", "not YAML"),
}
JSON = {
    "depth": ('{"a":' * 100_000, "nested"),
    "more lists than fit": ('{"a": [' + "[]," * MOST_VALUES + "0]}", "values"),
    "digits": ('{"a": ' + "9" * 100_000 + "}", "JSON"),
}


@pytest.mark.parametrize(("text", "said"), [*YAML.values(), *JSON.values()], ids=[*YAML, *JSON])
def test_documents(text: str, said: str) -> None:
    start = time.process_time()
    with pytest.raises(BadInput, match=said):
        parse_document(text, "bomb")
    assert time.process_time() - start < MOST_S


def test_settings_are_read_as_strictly() -> None:
    for value in ("&a [*a]", "!!python/object/apply:os.system [id]", "[" * 100_000):
        with pytest.raises(BadInput, match=r"a\.b="):
            override({}, [f"a.b={value}"])


def test_keys_are_as_spelt_and_dates_are_words() -> None:
    text = "{on: yes, 8: 0x10, 2020-01-01: 2020-01-02, <<: {x: null}}"
    assert parse_document(text, "t") == {"on": True, "8": 16, "2020-01-01": "2020-01-02", "x": None}


def test_entities_do_not_expand_or_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    for head in (f"{ENTITIES}]>", f'<!DOCTYPE a [<!ENTITY i SYSTEM "{outside}">]>'):
        path = tmp_path / "cluster.xml"
        path.write_text(f'<?xml version="1.0"?>{head}<system version="1"><cpu>&i;</cpu></system>')
        for name in (None, "nccl-xml", "nvidia-smi-xml", "graphml"):
            with pytest.raises(BadInput) as caught:
                importers.read(path, name, device="h100")
            assert "secret" not in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no endless file here")
@pytest.mark.parametrize(
    "read", [Plan.load, topologies.load, read_content, importers.read], ids=lambda read: read.__module__
)
def test_an_endless_file_is_not_read_to_its_end(read: object) -> None:
    with pytest.raises(BadInput):
        read("/dev/zero") if read is not read_content else read("/dev/../dev/zero.yaml")  # type: ignore[operator]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
def test_an_endless_trace_is_not_read() -> None:
    with pytest.raises(BadInput, match="no end"):
        with_classes({"traffic": {"trace": "/dev/zero"}}, Path())


def test_what_a_file_quotes_cannot_speak_to_the_terminal() -> None:
    with pytest.raises(BadInput) as caught:
        topologies.build({"builder": "hgx", "nodes": "\x1b]0;owned\x07\n" * 500})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1100


def test_a_pickle_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "loads.npy"
    for raw in (
        b"\x80\x04cos\nsystem\n(S'id'\ntR.",
        b"PK\x03\x04" + bytes(40),
        b"\x93NUMPY\x01\x00\x04\x00((((" + bytes(9),
    ):
        path.write_bytes(raw)
        with pytest.raises(BadInput, match=r"loads\.npy"):
            read_loads([path])


LIMITED = """
import resource, sys
from solver.errors import BadInput
from solver.workload.files import override, read_content
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
try:
    override(read_content(sys.argv[1])[0], ())
except BadInput:
    print("refused")
else:
    print("read")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize("item", ["[]", "{}", '{"a":0}', "1.5", '"\N{GRINNING FACE}"', "[[0]]"])
def test_the_largest_file_fits_into_a_gibibyte(tmp_path: Path, item: str) -> None:
    path = tmp_path / "large.json"
    per_item = 1 + sum(map(item.count, "[{,"))
    path.write_text(f'{{"a": [{",".join([item] * ((MOST_VALUES - 10) // per_item))}]}}', encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("read\n", "")
