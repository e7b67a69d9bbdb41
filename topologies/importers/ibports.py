"""``ibnetdiscover -p`` and ``iblinkinfo``: the ports of an InfiniBand fabric, one a line.

::

    SW     2  1 0x0002c90300000001 4x NDR - CA     5  1 0x0002c90300000002 ( 'MF0;leaf-1:MQM9701/U1' - 'node-1 mlx5_0' )

    Switch: 0x0002c90300000001 MF0;leaf-1:MQM9701/U1:
           2    1[  ] ==( 4X       106.25 Gbps Active/  LinkUp)==>       5    1[  ] "node-1 mlx5_0" ( )
           2    2[  ] ==(                Down/ Polling)==>             [  ] "" ( )

``iblinkinfo`` names the far end by its LID alone, so that LIDs stand for GUIDs; its rates are those on the wire.
"""

from __future__ import annotations

import re

from topologies.importers.findings import Findings
from topologies.importers.ibnetdiscover import LANE_BITS_PER_S, Dump, findings_of, readable
from topologies.importers.source import Source

_PORT = re.compile(
    r"\s*(SW|CA|RT)\s+(\d{1,6})\s+(\d{1,4})\s+0x([0-9a-fA-F]{1,16})\s+(\d{1,2})x\s+(\S{1,10})"
    r"(?:\s+-\s+(SW|CA|RT)\s+(\d{1,6})\s+(\d{1,4})\s+0x([0-9a-fA-F]{1,16}))?\s+\(?\s*'([^']*)'(?:\s+-\s+'([^']*)')?\s*\)?\s*"
)
_OWNER = re.compile(r"\s*(Switch|CA|Ca|RT|Rt|Router):\s*(?:(0x[0-9a-fA-F]{1,16})\s+)?(.{0,200}?):?\s*")
_LINK = re.compile(
    r'\s*(?:0x[0-9a-fA-F]{1,16}\s+)?(?:"([^"]{0,200})"\s+)?(\d{1,6})\s+(\d{1,4})\[[^\]]{0,8}\]\s*==\(([^)]{0,80})\)==>\s*'
    r'(?:(?:0x[0-9a-fA-F]{1,16}\s+)?(\d{1,6})\s+(\d{1,4}))?\s*\[[^\]]{0,8}\]\s*"([^"]{0,200})".*'
)
_RATE = re.compile(r"(\d{1,2})X\s+([0-9.]{1,12})\s*Gbps")
#: Rates of one lane on the wire [Gbit/s] and what they are called.
_WIRE = {
    "2.5": "SDR",
    "5.0": "DDR",
    "10.0": "QDR",
    "10.3125": "FDR10",
    "14.0625": "FDR",
    "25.78125": "EDR",
    "53.125": "HDR",
    "106.25": "NDR",
    "212.5": "XDR",
}


def read_ports(source: Source, host: str) -> Findings:
    """The fabric of ``ibnetdiscover -p``.

    Raises
    ------
    BadInput: a line that is none of the format; names it.
    """
    dump = Dump(has_sections=False)
    for number, line in source.lines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _PORT.fullmatch(line)
        if found is None:
            raise source.error(number, f"{line.strip()[:60]!r} is no line of ibnetdiscover -p")
        here = _vertex(dump, found[1], found[4], found[11], number)
        if found[7] is None:
            continue
        if found[6] not in LANE_BITS_PER_S:
            raise source.error(number, f"a speed of {found[6]!r} is none of {', '.join(LANE_BITS_PER_S)}")
        there = _vertex(dump, found[7], found[10], found[12] or "", number)
        _cable(dump, (here, found[3]), (there, found[9]), int(found[5]) * LANE_BITS_PER_S[found[6]] / 8)
    return findings_of(source, dump, "ibnetdiscover-ports")


def _vertex(dump: Dump, kind: str, guid: str, description: str, line: int) -> str:
    name = f"{'S' if kind == 'SW' else 'H'}-{guid.lower().lstrip('0')}"
    vertex = dump.vertex(name)
    vertex.line, vertex.description = vertex.line or line, vertex.description or readable(description)
    return name


def _cable(dump: Dump, here: tuple[str, str], there: tuple[str, str], bytes_per_s: float) -> None:
    if here != there:
        ends = frozenset({here, there})
        dump.cables[ends] = min(bytes_per_s, dump.cables.get(ends, bytes_per_s))


def read_links(source: Source, host: str) -> Findings:
    """The fabric of ``iblinkinfo``.

    Raises
    ------
    BadInput: a line that is none of the format; names it.
    """
    lines = list(_links(source))
    switches = {own for kind, _, own, *_ in lines if kind == "Switch"}
    dump = Dump(has_sections=False)
    for kind, description, own, port, rate, far, far_port, far_description, number in lines:
        here = _vertex(dump, "SW" if kind == "Switch" else "CA", own, description, number)
        there = _vertex(dump, "SW" if far in switches else "CA", far, far_description, number)
        _cable(dump, (here, port), (there, far_port), rate)
    return findings_of(source, dump, "iblinkinfo")


def _links(source: Source) -> list[tuple[str, str, str, str, float, str, str, str, int]]:
    """Kind, description, LID and port of each linked port, its rate [bytes/s], and the same of the far end."""
    found, kind, description = [], "", ""
    for number, line in source.lines():
        if link := _LINK.fullmatch(line):
            if link[5] is None or "LinkUp" not in link[4].replace(" ", ""):
                continue
            rate = _RATE.search(link[4])
            speed = _WIRE.get(rate[2].rstrip("0").rstrip(".") if "." in rate[2] else rate[2]) if rate else None
            speed = speed or (_WIRE.get(f"{float(rate[2]):.1f}") if rate and rate[2].count(".") <= 1 else None)
            if rate is None or speed is None:
                raise source.error(number, f"a link of {link[4].strip()[:40]!r} tells no speed such as 4X 106.25 Gbps")
            own = link[1] or description
            bytes_per_s = int(rate[1]) * LANE_BITS_PER_S[speed] / 8
            here = kind or ("Switch" if own.startswith("MF0;") else "CA")
            found.append((here, own, link[2], link[3], bytes_per_s, link[5], link[6], link[7], number))
        elif owner := _OWNER.fullmatch(line):
            kind, description = owner[1], owner[3].strip().rstrip(":")
        elif line.strip() and not line.lstrip().startswith("#"):
            raise source.error(number, f"{line.strip()[:60]!r} is no line of iblinkinfo")
    return found
