"""The page in a real browser: light, dark, on a phone, by mouse and by keyboard. Screenshots are kept to look at."""

from pathlib import Path

import pytest

from tests.report.browser import Page
from tests.report.conftest import ARTIFACTS, STATES

VIEWS = {"light": {}, "dark": {"dark": True}, "phone": {"width": 375, "height": 812, "phone": True}}

OVERLAPS = """(() => {
  const texts = [...document.querySelectorAll(".plot text")].filter((t) => getComputedStyle(t).display != "none");
  const boxes = texts.map((t) => [t.textContent, t.getBoundingClientRect()]);
  const hits = [];
  for (const [i, [a, p]] of boxes.entries()) for (const [b, q] of boxes.slice(i + 1))
    if (p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom) hits.push(a + " | " + b);
  return hits;
})()"""


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_shown_whole(page: Page, pages: dict[str, Path], state: str, view: str) -> None:
    page.open(pages[state], **VIEWS[view])  # type: ignore[arg-type]
    page.screenshot(ARTIFACTS / f"{state}-{view}.png")
    assert page.errors == []
    assert page.requests == [pages[state].resolve().as_uri()]
    assert page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing but tables scrolls sideways"
    assert page.run(OVERLAPS) == []
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 30)"
    assert dark == (view == "dark")


def test_the_keyboard_reaches_every_point_with_one_stop_per_chart(page: Page, pages: dict[str, Path]) -> None:
    page.open(pages["three-systems"])
    page.press("Tab")
    page.press("Home")
    count = page.run("document.querySelectorAll('a.point').length")
    seen = []
    for _ in range(count):
        seen.append(page.run("document.activeElement.getAttribute('href')"))
        page.press("ArrowRight")
    assert seen == [f"#point-{i}" for i in range(count)]
    assert page.run("!document.getElementById('tip').hidden")
    page.screenshot(ARTIFACTS / "focus.png", whole=False)
    page.press("Escape")
    assert page.run("document.getElementById('tip').hidden")
    page.press("Tab")
    assert page.run("document.activeElement.closest('[data-chart]')") is None


def test_enter_chooses_the_point_whose_network_is_shown(page: Page, pages: dict[str, Path]) -> None:
    page.open(pages["three-systems"])
    shown = "[...document.querySelectorAll('.chosen')].filter((e) => e.offsetHeight).map((e) => e.id)"
    before = page.run(shown)
    assert len(before) == 1
    page.press("Tab")
    page.press("Home")
    page.press("Enter")
    assert page.run(shown) == ["point-0"] != before
    assert page.run("location.hash") == "#point-0"


def test_the_mouse_shows_a_point_s_figures(page: Page, pages: dict[str, Path]) -> None:
    page.open(pages["three-systems"], width=375, height=812, phone=True)
    shown = "((t, b) => t.hidden ? null : [t.textContent, b.left, b.right])(tip, tip.getBoundingClientRect())"
    text, left, right = page.hover("a.point:last-of-type .halo", until=shown)
    assert "accuracy" in text
    assert 0 <= left < right <= 375
    page.screenshot(ARTIFACTS / "hover-phone.png", whole=False)


def test_what_can_be_reached_has_a_name(page: Page, pages: dict[str, Path]) -> None:
    page.open(pages["three-systems"])
    nameless = (
        "[...document.querySelectorAll('a, summary, [tabindex], [role=img], [role=region], [role=group]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert page.run(nameless) == []
