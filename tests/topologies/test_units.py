"""Quantities as people write them."""

from __future__ import annotations

import pytest

from topologies import BadInput, units


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.seconds, "30ms", 0.03),
        (units.seconds, " 1.5 h ", 5400.0),
        (units.seconds, 2, 2.0),
        (units.size, "64KiB", 65536.0),
        (units.size, "1e3MB", 1e9),
        (units.bandwidth, "400Gbit/s", 50e9),
        (units.bandwidth, "3.35TB/s", 3.35e12),
    ],
)
def test_reading(read, text, value):
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "fast", "3 parsecs", "1e999s", True, float("nan"), 10**400, "30 ms ms"])
def test_refusing(text):
    with pytest.raises(BadInput) as caught:
        units.seconds(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (units.show_seconds(0.0305), "30.5 ms"),
        (units.show_seconds(0), "0 s"),
        (units.show_seconds(float("inf")), "forever"),
        (units.show_bytes(141e9), "141 GB"),
        (units.show_bandwidth(12.5e9), "12.5 GB/s"),
    ],
)
def test_writing(shown, text):
    assert shown == text
