"""The page in a headless Chromium: no error, nothing fetched, reachable by keyboard, as wide as the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import plans
import pytest
from chromium import Chromium
from packaged_plans import SCENARIOS, solved

WIDTHS = (1280, 390)


def _open(browser: Chromium, text: str, folder: Path) -> None:
    target = folder / "plan.html"
    target.write_text(text, encoding="utf-8")
    browser.open(target)
    assert browser.requests == [target.as_uri()]
    assert browser.messages == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_opens_without_error_or_request_and_fits(
    browser: Chromium, page: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    for width in WIDTHS:
        for dark in (False, True):
            browser.shape(width, dark=dark)
            _open(browser, page(name), tmp_path)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_stay_readable_on_a_telephone_and_fill_a_screen(
    browser: Chromium, page: Callable[[str], str], tmp_path: Path
) -> None:
    scale = "[...document.querySelectorAll('.charts svg')].map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    hidden = "[...document.querySelectorAll('.charts figure')].filter(f => f.scrollWidth > f.clientWidth + 1)"
    for width in WIDTHS:
        browser.shape(width)
        _open(browser, page(plans.NVL72), tmp_path)
        assert all(0.85 < each < 1.3 for each in browser.evaluate(scale))
        # What does not fit scrolls, by keyboard too, and says so with shades.
        assert (browser.evaluate(f"{hidden}.length") > 0) == (width == 390)
        assert browser.evaluate(f"{hidden}.every(f => f.tabIndex === 0 && getComputedStyle(f).backgroundImage !== 'none')")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_large_page_opens_racks_and_replicas(browser: Chromium, large_page: str, tmp_path: Path) -> None:
    browser.shape(1280)
    _open(browser, large_page, tmp_path)
    assert browser.evaluate("document.querySelectorAll('.d[data-i]').length") == 0
    browser.evaluate("document.querySelector('#racks details').open = true")
    browser.evaluate("document.querySelector('#ranks details').open = true")
    browser.evaluate("new Promise(done => setTimeout(done, 100))")
    assert browser.evaluate("document.querySelectorAll('.d[data-i]').length") == 72
    assert browser.evaluate("document.querySelectorAll('#ranks tbody tr').length") > 0
    assert browser.evaluate("document.querySelector('.d[data-i]').getAttribute('aria-label')").startswith("rack0/host0")
    assert browser.messages == []


def test_keyboard_reaches_every_device(browser: Chromium, page: Callable[[str], str], tmp_path: Path) -> None:
    plan = solved(plans.NVL72)
    told = {r.device: f"{r.pool}, replica {r.replica}, stage {r.stage}, rank {r.rank}" for r in plan.placement}
    browser.shape(1280)
    _open(browser, page(plans.NVL72), tmp_path)
    for _ in range(12):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.matches('.d')"):
            break
    here = "document.querySelector('#detail h3').textContent"
    use = "document.querySelector('#detail div').textContent"
    assert browser.evaluate(here) == "rack0/host0/gpu0"
    browser.press("ArrowRight")
    browser.press("ArrowDown")
    # Two racks leave room for two trays side by side.
    assert browser.evaluate(here) == "rack0/host2/gpu1"
    assert browser.evaluate(use) == told["rack0/host2/gpu1"]
    for arrow in ("ArrowRight", "ArrowRight", "ArrowRight"):
        browser.press(arrow)
    assert browser.evaluate(here) == "rack0/host3/gpu0"


def test_a_pinned_device_stays_and_is_printed(browser: Chromium, page: Callable[[str], str], tmp_path: Path) -> None:
    browser.shape(1280)
    _open(browser, page(plans.NVL72), tmp_path)
    decode = solved(plans.NVL72).pool("decode")
    here = "document.querySelector('#detail h3').textContent"
    shown = "getComputedStyle(document.getElementById('detail')).display !== 'none'"

    def point(device: int) -> None:
        cell = f"document.querySelector('#racks [data-i=\"{device}\"]')"
        browser.evaluate(f"{cell}.dispatchEvent(new PointerEvent('pointerover', {{bubbles: true, pointerType: 'mouse'}}))")

    def leave() -> None:
        browser.evaluate("document.getElementById('racks').dispatchEvent(new PointerEvent('pointerleave'))")

    point(1)
    leave()
    assert browser.evaluate(here) == "rack0/host0/gpu1"
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert not browser.evaluate(shown)
    browser.evaluate("document.querySelector('#detail button').click()")
    assert browser.evaluate(shown)
    for whole in ("#detail", "#pools .scroll", "#promises .scroll"):
        assert browser.evaluate(f"getComputedStyle(document.querySelector('{whole}')).breakInside") == "avoid"
    browser.call("Emulation.setEmulatedMedia", media="")
    point(2)
    assert browser.evaluate(here) == "rack0/host0/gpu2"
    leave()
    assert browser.evaluate(here) == "rack0/host0/gpu1"
    pairs = "[...document.querySelectorAll('#detail dt')].map(t => [t.textContent, t.nextSibling.textContent])"
    rows = browser.evaluate(f"Object.fromEntries({pairs})")
    first, last = decode.stages[0].layers
    assert rows["layers"] == f"{first}–{last}"
    assert rows["experts"]
    title = browser.evaluate("document.querySelector('#racks [data-i=\"1\"] title').textContent")
    assert title.endswith(f"layers {rows['layers']}; expert rank {rows['expert rank']}; experts {rows['experts']}")
    browser.press("Escape")
    point(2)
    leave()
    assert browser.evaluate(here) == "rack0/host0/gpu2"


def test_the_panel_is_read_aloud_and_reached_by_keyboard(
    browser: Chromium, page: Callable[[str], str], tmp_path: Path
) -> None:
    browser.shape(1280)
    _open(browser, page(plans.NVL72), tmp_path)
    panel = "document.getElementById('detail')"
    assert browser.evaluate(f"[{panel}.tagName, {panel}.getAttribute('aria-live'), {panel}.getAttribute('aria-label')]") == [
        "ASIDE", "polite", "the device pointed at",
    ]  # fmt: skip
    browser.evaluate("document.querySelector('#racks .d[tabindex=\"0\"]').focus()")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.id") == "detail"
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Pin it"
    browser.evaluate("document.activeElement.click()")
    assert browser.evaluate("document.activeElement.textContent") == "Let go of it"


def test_colours_and_letters_follow_the_choice(browser: Chromium, page: Callable[[str], str], tmp_path: Path) -> None:
    browser.shape(1280)
    _open(browser, page(plans.NVL72), tmp_path)
    stage = {rank.device: str(rank.stage) for rank in solved(plans.NVL72).placement}
    fills = "new Set([...document.querySelectorAll('#racks .d rect')].map(r => getComputedStyle(r).fill)).size"
    by_pool = browser.evaluate(fills)
    browser.evaluate("document.querySelector('input[value=stage]').click()")
    assert browser.evaluate(fills) != by_pool
    letters = browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#racks .d')].filter(d => d.querySelector('text'))"
        ".map(d => [d.getAttribute('aria-label').split(':')[0], d.querySelector('text').textContent]))"
    )
    assert letters == stage
    seen = "[...document.querySelectorAll('.legend')].filter(l => getComputedStyle(l).display !== 'none').length"
    assert browser.evaluate(seen) == 1


def test_theme_can_be_turned(browser: Chromium, page: Callable[[str], str], tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.shape(1280, dark=True)
    _open(browser, page(plans.NVL72), tmp_path)
    dark = browser.evaluate(ground)
    browser.evaluate("document.getElementById('theme').click()")
    light = browser.evaluate(ground)
    assert light == "rgb(255, 255, 255)" != dark
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate(ground) == dark
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(ground) == light
    assert browser.evaluate("getComputedStyle(document.getElementById('detail')).display") == "none"


def test_hostile_names_run_nothing(browser: Chromium, tmp_path: Path) -> None:
    from solver.view import html

    attack = "</script><img src=x onerror=document.title='broken'>"
    browser.shape(1280)
    _open(browser, html.render(plans.hostile(solved(plans.SMALL), attack)), tmp_path)
    browser.evaluate("document.querySelector('#racks .d').dispatchEvent(new FocusEvent('focusin', {bubbles: true}))")
    assert attack in browser.evaluate("document.querySelector('#detail h3').textContent")
    assert browser.evaluate("document.title") != "broken"
    assert browser.messages == []
