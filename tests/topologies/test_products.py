"""Product names as tools print them: whole names alone, slices refused, memories told apart."""

from __future__ import annotations

import pytest

from topologies.errors import BadInput, UnknownName
from topologies.importers.products import find, made_with

NAMES = """
NVIDIA H100 80GB HBM3 = h100
NVIDIA-H100-80GB-HBM3 = h100
H100 SXM5 80 GB = h100
8x NVIDIA H100 = h100
DGX H100 = h100
NVIDIA H100 PCIe = h100-pcie
NVIDIA H100 NVL = h100-nvl
NVIDIA H100 96GB HBM3 = h100-96gb
NVIDIA H100 64GB HBM2 = h100-64gb
nvidia-h100-mega-80gb = h100
NVIDIA H200 = h200
nvidia-h200-141gb = h200
NVIDIA H200 NVL = h200-nvl
NVIDIA H20 = h20
NVIDIA H20-3e = h20-141gb
NVIDIA H20 141GB = h20-141gb
NVIDIA GH200 480GB = gh200
NVIDIA GH200 120GB = gh200
NVIDIA GH200 144G HBM3e = gh200-144gb
NVIDIA A100-SXM4-40GB = a100-40gb
NVIDIA A100-SXM-64GB = a100-64gb
A100-SXM4-80GB = a100
NVIDIA A100 80GB PCIe = a100-pcie-80gb
NVIDIA A100-PCIE-40GB = a100-pcie-40gb
NVIDIA A800-SXM4-80GB = a800
Tesla V100-SXM2-16GB = v100-16gb
Tesla V100-SXM3-32GB = v100
Tesla T4 = t4
NVIDIA A10G = a10g
NVIDIA RTX A6000 = a6000
NVIDIA RTX 6000 Ada Generation = rtx6000-ada
NVIDIA RTX PRO 6000 Blackwell Server Edition = rtx-pro-6000
NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition = rtx-pro-6000
NVIDIA GeForce RTX 4090 = rtx4090
GeForce-RTX-5090 = rtx5090
RTX5090 = rtx5090
NVIDIA B300 SXM6 AC = b300
NVIDIA GB200 NVL72 = gb200
NVIDIA GB10 = gb10
AMD Instinct MI300X OAM = mi300x
AMD_Instinct_MI300X_VF = mi300x
Aqua Vanjaram [Instinct MI300X] = mi300x
AMD Instinct MI325X = mi325x
GH100 [H100 SXM5 80GB] (rev a1) = h100
"""


@pytest.mark.parametrize("line", NAMES.strip().splitlines())
def test_a_whole_name_is_its_device(line):
    product, _, name = line.partition(" = ")
    assert find(product).name == name


@pytest.mark.parametrize(
    "product",
    [
        *("not-an-h100", "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 3090 Ti", "NVIDIA H100x", "H100 H200"),
        *("NVIDIA H800 PCIe", "NVIDIA Quadro RTX 6000", "RTX 5000 Ada", "L40G", "", "80GB", "NVIDIA", "A100 40GB 80GB"),
    ],
)
def test_any_other_word_makes_another_product(product):
    with pytest.raises(UnknownName, match="unknown product"):
        find(product)


@pytest.mark.parametrize(
    "product",
    [
        *("NVIDIA A100-4C", "GRID A100-40C", "H100-1-10C", "NVIDIA A40-48Q", "GRID A100D-7-80C", "NVIDIA L40S-24Q"),
        *("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA-L4-SHARED"),
    ],
)
def test_a_slice_is_no_device(product):
    with pytest.raises(BadInput, match="is a slice of a device"):
        find(product)


def test_memory_of_the_file_tells_devices_of_one_name_apart():
    assert find("NVIDIA A100", 40960 * 2**20).name == "a100-40gb"
    assert find("NVIDIA A100", 81920 * 2**20).name == "a100"
    assert find("NVIDIA H20", 143771 * 2**20).name == "h20-141gb"
    leonardo = find("NVIDIA-A100-SXM-64GB", 65536 * 2**20)
    assert (leonardo.name, leonardo.hbm_bytes, leonardo.hbm_usable_bytes) == ("a100-64gb", 64e9, 65536 * 2**20)
    assert leonardo.hbm_bytes_per_s == pytest.approx(2.039e12 * 64 / 80), "four stacks of the five"


def test_links_fit_devices_of_several_generations():
    assert made_with(8, None) == ["h800", "a800"]
    assert {"h100", "b200"} <= set(made_with(18, None))
