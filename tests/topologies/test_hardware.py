"""The catalog of devices, and devices of one's own."""

from __future__ import annotations

import json
import math
import pickle
from importlib import resources
from typing import get_args

import pytest

from topologies import DTYPES, BadInput, Device, UnknownName, device, devices
from topologies.prices import Basis

CATALOG = json.loads(resources.files("topologies").joinpath("catalog/devices.json").read_text("utf-8"))
NVIDIA = [
    "a100",
    "a100-40gb",
    "a100-pcie-80gb",
    "a100-pcie-40gb",
    "a800",
    "a10",
    "a10g",
    "a40",
    "a6000",
    "rtx3090",
    "v100",
    "v100-16gb",
    "t4",
    "l4",
    "l40",
    "l40s",
    "l20",
    "rtx4090",
    "rtx6000-ada",
    "h100",
    "h100-pcie",
    "h100-nvl",
    "h200",
    "h200-nvl",
    "h800",
    "h20",
    "h20-141gb",
    "gh200",
    "gh200-144gb",
    "b200",
    "b300",
    "gb200",
    "gb300",
    "rtx5090",
    "rtx-pro-6000",
    "gb10",
    "vr200",
    "rubin-nvl8",
]
OTHERS = [
    "mi250x",
    "mi300a",
    "mi300x",
    "mi308x",
    "mi325x",
    "mi350x",
    "mi355x",
    "mi455x",
    "trainium2",
    "trainium3",
    "gaudi3",
    "b60",
    "ascend-910c",
    "tpu-v4",
    "tpu-v5e",
    "tpu-v5p",
    "tpu-v6e",
    "tpu-v7",
    "tpu-v8i",
    "tpu-v8t",
]
#: Devices of which a number is an announcement, or is in no data sheet.
UNVERIFIED = [
    "vr200",
    "rubin-nvl8",
    "a10g",
    "l20",
    "h20-141gb",
    "gb10",
    "mi250x",
    "mi308x",
    "mi455x",
    "trainium2",
    "trainium3",
    "tpu-v8i",
    "tpu-v8t",
    "ascend-910c",
]


def test_the_catalog_holds_what_is_promised():
    assert sorted(devices()) == sorted(NVIDIA + OTHERS)
    assert sorted(name for name, one in devices().items() if not one.verified) == sorted(UNVERIFIED)


@pytest.mark.parametrize("entry", CATALOG["devices"], ids=lambda entry: entry["name"])
def test_every_number_has_a_source_with_a_date(entry):
    for quantity in entry["quantities"].values():
        assert CATALOG["sources"][quantity["source"]]["title"]
        assert CATALOG["sources"][quantity["source"]]["as_of"] >= "2025"
    for source in entry["prices"]:
        assert CATALOG["sources"][source]["basis"] in get_args(Basis)
    assert "as of" in device(entry["name"]).sources["hbm_bytes"]


@pytest.mark.parametrize(
    ("name", "dtype", "dense"),
    [
        ("a100", "bf16", 312e12),
        ("h100", "bf16", 989e12),
        ("h100", "fp8", 1979e12),
        ("h20", "bf16", 148e12),
        ("l40s", "bf16", 362.05e12),
        ("b200", "fp4", 9e15),
        ("mi300x", "bf16", 1307e12),
        ("tpu-v5e", "bf16", 197e12),
        ("t4", "int8", 130e12),
        ("rtx4090", "bf16", 165.2e12),
        ("rtx5090", "fp4", 1676e12),
        ("mi355x", "fp8", 5.033e15),
    ],
)
def test_peaks_are_dense(name, dtype, dense):
    assert device(name).flops[dtype] == dense


@pytest.mark.parametrize("one", devices().values(), ids=devices())
def test_figures_are_within_what_physics_and_neighbours_allow(one):
    assert set(one.flops) <= set(DTYPES)
    assert one.flops.get("fp8", math.inf) >= one.flops["bf16"]
    assert 0.9 <= one.hbm_usable_bytes / one.hbm_bytes <= 1.09, "a label is read in GB or GiB, nothing else"
    assert 0.25e12 < one.hbm_bytes_per_s < 30e12
    assert one.scale_up_bytes_per_s >= one.scale_out_bytes_per_s
    assert one.scale_up_pair_bytes_per_s <= one.scale_up_bytes_per_s
    assert one.usd_per_hour is None, "a price of the catalog has a basis; it stands under prices"
    assert one.scale_up_fabric != "torus" or math.prod(one.scale_up_shape) == one.scale_up_domain


def test_devices_without_a_unit_lack_it():
    assert "fp8" not in device("a100").flops
    assert "fp4" not in device("h200").flops


def test_a_name_with_a_slip_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown device 'h300'; nearest: .*h100"):
        device("h300")
    assert device(" H200 ") is device("h200")


@pytest.mark.parametrize("one", devices().values(), ids=devices())
def test_plain_data_reads_back(one):
    assert Device.parse(json.loads(json.dumps(one.plain()))) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert len({one, Device.parse(one.plain())}) == 1


def test_own_devices_may_spell_units_and_start_from_another():
    mine = Device.parse({"name": "mine", "like": "h200", "hbm_bytes_per_s": "6TB/s", "flops": {"bf16": "1.2PFLOP/s"}})
    assert (mine.hbm_bytes_per_s, mine.flops) == (6e12, {"bf16": 1.2e15})
    assert mine.scale_out_bytes_per_s == device("h200").scale_out_bytes_per_s
    assert not mine.verified


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "x"}, "lacks flops, hbm_bytes"),
        ({"name": "x", "like": "h200", "hbm_byte": 1}, "nearest: hbm_bytes"),
        ({"name": "x", "like": "h2000"}, "nearest: h200"),
        ({"name": "x", "like": "h200", "hbm_bytes": float("nan")}, "hbm_bytes is nan"),
        ({"name": "x", "like": "h200", "hbm_bytes": 10**400}, "finite"),
        ({"name": "x", "like": "h200", "hbm_bytes": True}, "hbm_bytes is True"),
        ({"name": "x", "like": "h200", "hbm_bytes": "12 apples"}, "apples"),
        ({"name": "x", "like": "h200", "scale_up_domain": 0}, "at least 1"),
        ({"name": "x", "like": "h200", "flops": {}}, "must map a dtype"),
        ({"name": "x", "like": "h200", "flops": {"fp7": 1e12}}, "nearest: fp"),
        ({"name": "x", "like": "h200", "host_link": "usb"}, "nearest: "),
        ({"name": "x", "like": "h200", "scale_up_fabric": "torus"}, "scale_up_shape"),
        ({"name": "", "like": "h200"}, "needs a name"),
        ("h200", "as a mapping"),
    ],
)
def test_a_bad_device_is_refused_in_one_line(given, says):
    with pytest.raises(BadInput) as caught:
        Device.parse(given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
