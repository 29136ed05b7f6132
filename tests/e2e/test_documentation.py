"""The documentation's site, built as `make docs` builds it: nothing leads nowhere, and nothing is asked of anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import PROGRAM, browsing, tab
from tools.docsite import pages, site
from tools.docsite.places import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; it is good only when the build found nothing to tell."""
    folder = tmp_path_factory.mktemp("docs")
    assert site.build(folder) == []
    return folder / "site"


def test_the_site_has_every_page_with_what_is_made_from_the_code(built: Path) -> None:
    commands = (built / "reference" / "commands.html").read_text()
    assert 'id="promote"' in commands
    assert "--from" in commands
    assert 'id="get-apiv1environments"' in (built / "reference" / "http-api.html").read_text()
    assert "Nobody has to come back for prod" in (built / "tour.html").read_text()
    whole = "".join(page.read_text() for page in built.rglob("*.html"))
    assert "<!-- built:" not in whole
    assert "unpkg.com" not in whole


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed: the search is not tried in a browser")
def test_pages_opened_as_files_can_be_searched_and_ask_nobody(built: Path) -> None:
    with browsing() as browser, tab(browser, (built / "how-to" / "promote.html").as_uri()) as opened:
        opened.page.locator("button.md-search__button").click()
        opened.page.locator("input[aria-label=Search]").press_sequentially("soaking")
        opened.page.get_by_role("option", name="Soaking").first.click()
        opened.page.wait_for_url("**/reasons/Soaking.html**")
        assert opened.wrong == []


def test_what_the_renderer_warns_of_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Here\n\n[a](gone.md) and [b](#nowhere)\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text((ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0])
    done = site.render(config)
    assert done.returncode
    assert site.warnings(done.stdout + done.stderr) == [
        "index.md:3:5: page does not exist",
        "index.md:3:23: anchor does not exist",
    ]


def test_pages_that_the_navigation_leaves_out_or_misses_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "lost.md").touch()
    config = tmp_path / "mkdocs.yml"
    config.write_text("nav: [{Start: [gone.md]}]")
    assert pages.gaps(config) == [
        "mkdocs.yml: nav names gone.md, which is not there",
        "lost.md: in no section of mkdocs.yml's nav",
    ]
