"""Every page in a real Chromium: axe has nothing to say, nothing is asked of anybody else, and it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from reconciler.errors import Reason
from reconciler.model import Sync
from tests.browser.chromium import MISSING, NARROW, NARROWEST, Tab, browsing, tab
from tests.browser.samples import SAMPLES, Sample
from tests.browser.serving import Site, serving

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

FIRST_PAGE_BYTES = 100_000
_TAKEN = """() => Object.fromEntries(["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
  .filter(entry => !entry.name.includes("/events")).map(entry => [entry.name, entry.transferSize]))"""
"""Of the page and each of its parts: bytes with heads, as they came."""
BOARD_OF_NINE = Sample("nine", 9, "well", "services", ())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Sample("mixed", 30, "mixed", "services", ()).served() as found:
        yield found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_nothing_is_in_the_way_of_anybody_who_reads_a_page(sample: Sample, browser: Browser) -> None:
    wrong: list[str] = []
    with sample.served() as site:
        for name, path in sample.pages:
            with tab(browser, site.url + path) as one:
                found = (*one.violations(), *one.sideways(), *_on_a_phone_at_night(one), *one.wrong)
                wrong += [f"{name}: {said}" for said in found]
    assert not wrong, "\n".join(wrong)


def _on_a_phone_at_night(one: Tab) -> list[str]:
    one.page.set_viewport_size({"width": NARROW, "height": 844})
    one.page.emulate_media(color_scheme="dark")
    found = one.violations_of_look()
    one.page.set_viewport_size({"width": NARROWEST, "height": 740})
    return [f"on a phone, dark: {said}" for said in (*found, *one.sideways())]


def test_what_is_wrong_with_a_page_is_noticed(browser: Browser, site: Site) -> None:
    with tab(browser, site.url) as one:
        one.page.evaluate("""() => {
          document.querySelector("main").insertAdjacentHTML("beforeend",
            '<p>.</p><label>.<input id="long"></label><input>');
          document.querySelector("#long").style.minWidth = "5000px";
          const picture = document.createElement("img");
          picture.src = "http://elsewhere.example/x.png";
          document.querySelector("main").append(picture);
          document.querySelector("h1").classList.remove("unseen");
          document.documentElement.style.setProperty("--soft", "#ddd");
          console.error("broken");
        }""")
        assert {said.split(":")[0] for said in one.violations()} >= {"critical image-alt", "critical label"}
        assert "serious color-contrast" in {said.split(":")[0] for said in one.violations_of_look()}
        assert one.sideways() == ["label.", "input."]
        assert [said for said in one.wrong if "elsewhere.example" in said and "Content Security Policy" in said]
        assert "broken" in one.wrong


def test_the_first_page_takes_less_than_half_of_a_hundred_kilobytes_from_the_wire(browser: Browser, site: Site) -> None:
    with tab(browser, site.url) as one:
        taken: dict[str, int] = one.page.evaluate(_TAKEN)
    assert {Path(name).suffix for name in taken} >= {".css", ".js"}
    assert min(taken.values()) > 0
    assert sum(taken.values()) < FIRST_PAGE_BYTES / 2, taken


def test_a_change_is_seen_without_a_reload_and_nobody_loses_their_place(browser: Browser, site: Site) -> None:
    with tab(browser, site.url) as one:
        page = one.page
        page.wait_for_selector("#link:has-text('live')")
        page.evaluate("() => { window.stayed = true; scrollTo(0, 300); }")
        page.focus("#e-shop\\.staging a", timeout=5000)
        site.change("shop/prod", sync=Sync.HELD, reason=Reason.FROZEN, message="frozen until Monday", hint="wait")
        page.wait_for_selector("#e-shop\\.prod:has-text('Frozen: frozen until Monday')")
        assert page.evaluate("() => [window.stayed, document.activeElement.textContent]") == [True, "staging"]
        assert page.inner_text("#news") == "" or "shop/prod" in page.inner_text("#news")
        assert one.wrong == []


def test_a_page_says_that_the_daemon_is_away_and_catches_up_when_it_is_back(browser: Browser) -> None:
    with BOARD_OF_NINE.prepared() as facts, ExitStack() as stack:
        with serving(facts) as site:
            page = stack.enter_context(tab(browser, site.url)).page
            page.wait_for_selector("#link:has-text('live')")
        page.wait_for_selector("#link:has-text('reconnecting')")
        site.change("shop/prod", sync=Sync.HELD, reason=Reason.FROZEN, message="frozen until Monday")
        with serving(site.facts, address=urlsplit(site.url).netloc):
            page.wait_for_selector("#e-shop\\.prod:has-text('frozen until Monday')")
            page.wait_for_selector("#link:has-text('live')")


def test_everything_is_reached_with_the_keyboard_alone(browser: Browser, site: Site) -> None:
    with tab(browser, site.url) as one:
        page = one.page
        press = page.keyboard.press
        press("Tab")
        assert _focused(page) == "Skip to the content"
        press("Enter")
        assert page.evaluate("() => document.activeElement.id") == "content"
        press("/")
        page.keyboard.type("mail/")
        page.wait_for_selector(".found:has-text('3 of 30')")
        assert page.evaluate("() => document.activeElement.id") == "q"
        assert page.url == f"{site.url}/?text=mail%2F"
        for _ in range(20):
            press("Tab")
            if _focused(page) == "staging":
                break
        assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
        press("Enter")
        page.wait_for_url("**/environments/mail/staging")
        page.focus("summary")
        press("Enter")
        assert page.evaluate("() => document.querySelector('details').open")
        assert one.wrong == []


def _focused(page: Page) -> str:
    text: str = page.evaluate("() => document.activeElement.textContent")
    return text


def test_all_but_live_news_works_without_scripts(browser: Browser, site: Site) -> None:
    with tab(browser, site.url, scripts=False) as one:
        page = one.page
        assert page.is_hidden("#link")
        assert page.is_hidden("#theme")
        page.fill("#q", "mail/")
        page.click("button:has-text('Find')")
        assert "3 of 30 environments" in page.inner_text(".found")
        page.click("#e-mail\\.prod a")
        assert page.inner_text("h1") == "mail/prod"
        page.click("summary")
        assert page.is_visible("dt:has-text('Before')")
        page.click("text=Compare with mail/staging")
        assert "Files" in page.inner_text("main")
        page.click("nav >> text=Audit")
        page.fill("#text", "nothing of the kind")
        page.click("button:has-text('Search')")
        assert page.inner_text(".empty h2") == "Nothing found"
        page.click("nav >> text=Timeline")
        page.click("summary")
        assert page.is_visible("table")
        assert one.wrong == []
