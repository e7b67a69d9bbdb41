"""Small files of every format that is imported, written by hand."""

from __future__ import annotations

TOPO = """\
\x1b[4m\tGPU0\tGPU1\tGPU2\tNIC0\tNIC1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\tNV18\tPIX\tSYS\t0-51\t0\t\tN/A
GPU1\tNV18\t X \tNV18\tSYS\tPXB\t0-51\t0\t\tN/A
GPU2\tNV18\tNV18\t X \tSYS\tPXB\t52-103\t1\t\tN/A
NIC0\tPIX\tSYS\tSYS\t X \tSYS
NIC1\tSYS\tPXB\tPXB\tSYS\t X

Legend:

  X    = Self
  NV#  = Connection traversing a bonded set of # NVLinks

NIC Legend:

  NIC0: mlx5_0
  NIC1: mlx5_4
"""

LOG = """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <attached_gpus>3</attached_gpus>
  <gpu id="00000000:10:00.0">
    <product_name>NVIDIA H200</product_name>
    <fb_memory_usage><total>143771 MiB</total></fb_memory_usage>
    <gpu_recovery_action>None</gpu_recovery_action>
    <remapped_rows><remapped_row_pending>No</remapped_row_pending></remapped_rows>
    <fabric><state>Completed</state><status>Success</status><cliqueId>0</cliqueId>
      <clusterUuid>00000000-0000-0000-0000-000000000000</clusterUuid></fabric>
  </gpu>
  <gpu id="00000000:20:00.0">
    <product_name>NVIDIA H200</product_name>
    <fb_memory_usage><total>143771 MiB</total></fb_memory_usage>
    <ecc_errors><volatile><dram_uncorrectable>2</dram_uncorrectable></volatile></ecc_errors>
    <fabric><state>Completed</state><status>Success</status></fabric>
  </gpu>
  <gpu id="00000000:30:00.0">
    <product_name>NVIDIA H200</product_name>
    <fb_memory_usage><total>143771 MiB</total></fb_memory_usage>
    <fabric><state>Completed</state><status>Success</status></fabric>
  </gpu>
</nvidia_smi_log>
"""

NCCL = """\
<system version="1">
  <cpu numaid="0">
    <pci busid="0000:0a:00.0" class="0x060400">
      <pci busid="0000:0b:00.0" class="0x030200" vendor="0x10de" device="0x2330">
        <gpu dev="0" sm="90" rank="0"><nvlink target="0000:05:00.0" count="18" tclass="0x068000"/></gpu>
      </pci>
      <pci busid="0000:0c:00.0" class="0x020700">
        <nic><net name="mlx5_0" dev="0" speed="400000" guid="0xe09d730300000001"/></nic>
      </pci>
    </pci>
    <pci busid="0000:1b:00.0" class="0x030200" vendor="0x10de" device="0x2330">
      <gpu dev="1" sm="90" rank="1"><nvlink target="0000:05:00.0" count="18" tclass="0x068000"/></gpu>
    </pci>
  </cpu>
</system>
"""

IB = """\
#
# Topology file: generated on a Monday
#
vendid=0x2c9
devid=0xd2f2
switchguid=0xa1(a1)
Switch\t65 "S-00000000000000a1"\t\t# "MF0;leaf-1:MQM9700/U1" enhanced port 0 lid 1 lmc 0
[1]\t"H-e09d730300000001"[1](e09d730300000001) \t\t# "node-1 mlx5_0" lid 11 4xNDR
[2]\t"H-e09d730300000003"[1](e09d730300000003) \t\t# "node-2 mlx5_0" lid 13 4xNDR
[33]\t"S-00000000000000b1"[1]\t\t# "MF0;spine-1:MQM9700/U1" lid 3 4xNDR
[34]\t"S-00000000000000b1"[2]\t\t# "MF0;spine-1:MQM9700/U1" lid 3 4xNDR
[65]\t"H-00000000000000a9"[1](a9) \t\t# "Mellanox Technologies Aggregation Node" lid 9 4xNDR

devid=0xd2f2
switchguid=0xa2(a2)
Switch\t65 "S-00000000000000a2"\t\t# "MF0;leaf-2:MQM9700/U1" enhanced port 0 lid 2 lmc 0
[1]\t"H-e09d730300000002"[1](e09d730300000002) \t\t# "node-1 mlx5_1" lid 12 4xNDR
[2]\t"H-e09d730300000004"[1](e09d730300000004) \t\t# "node-2 mlx5_1" lid 14 4xHDR
[33]\t"S-00000000000000b1"[3]\t\t# "MF0;spine-1:MQM9700/U1" lid 3 4xNDR

devid=0xd2f2
switchguid=0xb1(b1)
Switch\t65 "S-00000000000000b1"\t\t# "MF0;spine-1:MQM9700/U1" enhanced port 0 lid 3 lmc 0
[1]\t"S-00000000000000a1"[33]\t\t# "MF0;leaf-1:MQM9700/U1" lid 1 4xNDR
[2]\t"S-00000000000000a1"[34]\t\t# "MF0;leaf-1:MQM9700/U1" lid 1 4xNDR
[3]\t"S-00000000000000a2"[33]\t\t# "MF0;leaf-2:MQM9700/U1" lid 2 4xNDR
[65]\t"H-00000000000000b9"[1](b9) \t\t# "Mellanox Technologies Aggregation Node" lid 10 4xNDR

devid=0xcf09
caguid=0xa9
Ca\t1 "H-00000000000000a9"\t\t# "Mellanox Technologies Aggregation Node"
[1](a9) \t"S-00000000000000a1"[65]\t\t# lid 9 lmc 0 "MF0;leaf-1:MQM9700/U1" lid 1 4xNDR

devid=0x1021
caguid=0xe09d730300000001
Ca\t1 "H-e09d730300000001"\t\t# "node-1 mlx5_0"
[1](e09d730300000001) \t"S-00000000000000a1"[1]\t\t# lid 11 lmc 0 "MF0;leaf-1:MQM9700/U1" lid 1 4xNDR
"""

SLURM = """\
# the fabric
SwitchName=leaf1 Nodes=node[1-2] LinkSpeed=100
switchname=leaf2 Nodes=node[3-4] # comment
SwitchName=spine \\
  Switches=leaf[1-2]
"""

SLURM_BLOCKS = """\
BlockName=rack1 Nodes=node[01-02]
BlockName=rack2 Nodes=node[03-04]
BlockSizes=2
"""

SLURM_YAML = """\
---
- topology: fabric
  cluster_default: true
  tree:
    switches:
      - {switch: spine, children: "leaf[1-2]"}
      - {switch: leaf1, nodes: "node[1-2]"}
      - {switch: leaf2, nodes: "node[3-4]"}
- topology: racks
  block:
    block_sizes: [2]
    blocks:
      - {block: rack1, nodes: "node[1-2]"}
      - {block: rack2, nodes: "node[3-4]"}
"""

TOPOGRAPH = """\
switches:
  core:
    switches: [leaf-1, leaf-2]
  leaf-1: {}
  leaf-2: {}
blocks:
- switch: leaf-1
  nodes: ["node[1-2]"]
  annotations:
    accelerator.topology.test/domain: nvl1
- switch: leaf-2
  nodes: [node3, node4]
  annotations:
    accelerator.topology.test/domain: nvl2
"""

TOPOGRAPH_OLD = """\
{"switches": [{"name": "core", "switches": ["leaf-1"]}, {"name": "leaf-1", "capacity_blocks": ["cb1"]}],
 "capacity_blocks": [{"name": "cb1", "type": "GB200", "nvlink": "nvl1", "nodes": ["n1", "n2"]}]}
"""

KUBERNETES = """\
{"kind": "List", "items": [
  {"kind": "Node", "metadata": {"name": "node1", "labels": {
     "fabric.topograph.run/tier-0": "leaf-1", "fabric.topograph.run/tier-1": "spine",
     "accelerator.topograph.run/domain": "nvl1",
     "nvidia.com/gpu.product": "NVIDIA-GB200", "nvidia.com/gpu.count": "4"}}},
  {"kind": "Node", "metadata": {"name": "node2", "labels": {
     "fabric.topograph.run/tier-0": "leaf-2", "fabric.topograph.run/tier-1": "spine",
     "nvidia.com/gpu.clique": "nvl1",
     "nvidia.com/gpu.product": "NVIDIA-GB200", "nvidia.com/gpu.count": "4"}}}]}
"""

GRAPHML = """\
<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="k0" for="node" attr.name="type" attr.type="string"/>
  <key id="k1" for="node" attr.name="model" attr.type="string"/>
  <key id="k2" for="edge" attr.name="bandwidth" attr.type="string"/>
  <key id="k3" for="node" attr.name="healthy" attr.type="string"><default>true</default></key>
  <key id="k4" for="node" attr.name="colour" attr.type="string"/>
  <graph edgedefault="undirected">
    <node id="box"><data key="k0">server</data><data key="k4">red</data></node>
    <node id="a"><data key="k0">gpu</data><data key="k1">NVIDIA L40S</data></node>
    <node id="b"><data key="k0">gpu</data><data key="k1">l40s</data><data key="k3">false</data></node>
    <edge source="box" target="a"><data key="k2">64GB/s</data></edge>
    <edge source="b" target="box"/>
  </graph>
</graphml>
"""

NODE_LINK = """\
{"directed": true, "multigraph": true, "graph": {"devices": {"mine": {"like": "h100", "hbm_bytes": "96GB"}}},
 "nodes": [{"id": 0, "kind": "host"}, {"id": 1, "kind": "device", "device": "mine"}, {"id": 2, "kind": "switch"},
           {"id": 3, "kind": "device", "device": "mine", "host": "0"}],
 "links": [{"source": 0, "target": 1}, {"source": 1, "target": 0}, {"source": 3, "target": 0},
           {"source": 0, "target": 2, "key": 0, "fabric": "infiniband", "bandwidth": "400Gbit/s"},
           {"source": 0, "target": 2, "key": 1, "fabric": "infiniband", "bandwidth": "400Gbit/s"},
           {"source": 1, "target": 3, "fabric": "nvlink"}]}
"""

ROCM = """\
GPU[0]		: Card Series: 		AMD Instinct MI300X OAM
============================ ROCm System Management Interface ============================
================================= Hops between two GPUs ==================================
       GPU0         GPU1         GPU2
GPU0   0            1            2
GPU1   1            0            1
GPU2   2            1            0

=============================== Link Type between two GPUs ===============================
       GPU0         GPU1         GPU2
GPU0   0            XGMI         XGMI
GPU1   XGMI         0            XGMI
GPU2   XGMI         XGMI         0

======================================= Numa Nodes =======================================
GPU[0]		: (Topology) Numa Node: 0
"""

LSTOPO = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" gp_index="1">
    <info name="HostName" value="node-7"/>
    <object type="Bridge" gp_index="2" bridge_type="0-1">
      <object type="Bridge" gp_index="3" bridge_type="1-1">
        <object type="PCIDev" gp_index="4" pci_busid="0000:17:00.0" pci_type="0302 [10de:2330] [10de:16c1] a1">
          <info name="PCIVendor" value="NVIDIA Corporation"/>
          <info name="PCIDevice" value="GH100 [H100 SXM5 80GB]"/>
          <object type="OSDev" gp_index="5" name="nvml0" osdev_type="1"/>
        </object>
        <object type="PCIDev" gp_index="6" pci_busid="0000:18:00.0" pci_type="0207 [15b3:1021] [15b3:0041] 00">
          <object type="OSDev" gp_index="7" name="ibp24s0" osdev_type="2"/>
          <object type="OSDev" gp_index="8" name="mlx5_0" osdev_type="3"/>
        </object>
      </object>
      <object type="Bridge" gp_index="9" bridge_type="1-1">
        <object type="PCIDev" gp_index="10" pci_busid="0000:2a:00.0" pci_type="0302 [10de:2330] [10de:16c1] a1">
          <info name="PCIDevice" value="GH100 [H100 SXM5 80GB]"/>
        </object>
      </object>
      <object type="PCIDev" gp_index="11" pci_busid="0000:03:00.0" pci_type="0300 [1a03:2000] [1a03:2000] 41"/>
    </object>
  </object>
</topology>
"""

IB_PORTS = """\
SW     2  1 0x0002c90300000001 4x NDR - CA     5  1 0x0002c90300000011 ( 'MF0;leaf-1:MQM9701/U1' - 'node-1 mlx5_0' )
SW     2  2 0x0002c90300000001 4x NDR - CA     6  1 0x0002c90300000012 ( 'MF0;leaf-1:MQM9701/U1' - 'node-2 mlx5_0' )
SW     2  3 0x0002c90300000001 4x ??? ( 'MF0;leaf-1:MQM9701/U1' )
SW 2 33 0x0002c90300000001 4x NDR - SW 3  1 0x0002c90300000002 ( 'MF0;leaf-1:MQM9701/U1' - 'MF0;spine-1:MQM9701/U1' )
CA 5  1 0x0002c90300000011 4x NDR - SW 2  1 0x0002c90300000001 ( 'node-1 mlx5_0' - 'MF0;leaf-1:MQM9701/U1' )
"""

IB_LINKS = """\
CA: node-1 mlx5_0:
      0x0002c90300000011   5  1[  ] ==( 4X   106.25 Gbps Active/  LinkUp)==>       2    1[  ] "MF0;leaf-1:MQM9701/U1" ( )
Switch: 0x0002c90300000001 MF0;leaf-1:MQM9701/U1:
           2    1[  ] ==( 4X       106.25 Gbps Active/  LinkUp)==>       5    1[  ] "node-1 mlx5_0" ( )
           2    2[  ] ==( 4X       106.25 Gbps Active/  LinkUp)==>       6    1[  ] "node-2 mlx5_0" ( )
           2    3[  ] ==(                Down/ Polling)==>             [  ] "" ( )
           2   33[  ] ==( 4X       106.25 Gbps Active/  LinkUp)==>       3    1[  ] "MF0;spine-1:MQM9701/U1" ( )
Switch: 0x0002c90300000002 MF0;spine-1:MQM9701/U1:
           3    1[  ] ==( 4X       106.25 Gbps Active/  LinkUp)==>       2   33[  ] "MF0;leaf-1:MQM9701/U1" ( )
"""

TEXTS = {
    "rocm-topo": ROCM,
    "lstopo-xml": LSTOPO,
    "ibnetdiscover-ports": IB_PORTS,
    "iblinkinfo": IB_LINKS,
    "nvidia-smi-topo": TOPO,
    "nvidia-smi-xml": LOG,
    "nccl-xml": NCCL,
    "ibnetdiscover": IB,
    "slurm-conf": SLURM,
    "slurm-yaml": SLURM_YAML,
    "topograph-yaml": TOPOGRAPH,
    "topograph-json": TOPOGRAPH_OLD,
    "kubernetes-nodes": KUBERNETES,
    "graphml": GRAPHML,
    "node-link": NODE_LINK,
}


def fabric(hosts, nics, dead=()):
    """A dump of one leaf per NIC and one spine; ``dead`` lists hosts and NICs that have no cable."""
    lines = []
    for nic in range(nics):
        lines.append(f'Switch 65 "S-a{nic:015x}" # "MF0;leaf-{nic}:MQM9700/U1" enhanced port 0 lid 1 lmc 0')
        for host in range(hosts):
            if (host, nic) not in dead:
                guid = f"{host * nics + nic + 1:016x}"
                lines.append(f'[{host + 1}] "H-{guid}"[1]({guid}) # "node-{host} mlx5_{nic}" lid 9 4xNDR')
        lines.append(f'[60] "S-b000000000000000"[{nic + 1}] # "MF0;spine:MQM9700/U1" lid 2 4xNDR')
    lines.append('Switch 65 "S-b000000000000000" # "MF0;spine:MQM9700/U1" enhanced port 0 lid 2 lmc 0')
    return "\n".join(lines)
