"""Plans and pages that several tests read; each is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import plans
import pytest
from packaged_plans import solved

from solver.plan import Plan
from solver.view import html


@cache
def _page(name: str) -> str:
    return html.render(solved(name))


@pytest.fixture(scope="session")
def page() -> Callable[[str], str]:
    """The page of a packaged scenario."""
    return _page


@pytest.fixture(scope="session")
def nvl72() -> Plan:
    """DeepSeek-V3 on two NVL72 racks."""
    return solved(plans.NVL72)


@pytest.fixture(scope="session")
def large(nvl72: Plan) -> Plan:
    """10,008 devices: the busy rack of the plan 139 times."""
    return plans.repeated(nvl72, 139)


@pytest.fixture(scope="session")
def large_page(large: Plan) -> str:
    return html.render(large)
