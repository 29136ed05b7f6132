"""The pages, over real sockets and out of a real store: what they say, and that no text becomes more than text."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from reconciler.core.audit import verify
from reconciler.errors import Reason
from reconciler.reasonpages import pages as reason_pages
from reconciler.views.board import BAD, Board, BoardQuery, board
from reconciler.views.compare import Comparison
from reconciler.views.environment import EnvironmentPage
from reconciler.views.figures import Timeline
from reconciler.views.record import Record
from reconciler.web.pages import assets
from reconciler.web.pages.rendering import Renderer
from reconciler.web.pages.showing import Hint, Pages, Problem
from tests.browser.serving import Site, serving
from tests.factories import NOON
from tests.making import made
from tests.views_samples import sampled

PAGES = Pages(Renderer(assets.load()))
VOID = frozenset({"meta", "link", "input"})
ADDRESSES = (
    *("/", "/?text=shop", "/?state=held", "/?page=2", "/environments/shop/prod", "/environments/shop/prod?before=9"),
    *("/compare", "/compare?left=shop/prod&right=shop/dev", "/timeline", "/timeline?scope=shop&days=7"),
    *("/audit", "/audit?text=shop&kind=outcome", "/reasons", "/reasons/Frozen", "/environments/none", "/nothing"),
)
HOSTILE = {
    "markup": "</title></script><script>alert(1)</script><img src=x onerror=alert(1)><style>*{}</style>",
    "quotes": "\" onclick='alert(1)' `x` {{ 7 * 7 }} {% x %} &lt; '><svg/onload=alert(1)>",
    "an odd backtick": "`<script>alert(1)</script><b onclick=alert(1)>",
    "an address": "javascript:alert(1)//https://example.com",
    "what turns text around": "safe\u202efdp.exe\u2066\u200f\x1b[31mred\x00\u2028\x07",
    "very long": "a" * 10_000,
    "very long, with blanks": "word <b> " * 2_000,
}


class Page(HTMLParser):
    """What a browser would make of it; refuses what no page of ours may hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.said: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), f"an attribute stands twice: {attrs}"
        assert not [name for name in given if name.startswith("on") or name == "style"], attrs
        assert tag not in ("style", "img", "iframe", "object", "base"), tag
        for name in ("href", "src", "action", "data-hx-get"):
            if name in given:
                self.links.append(given[name])
                outside = tag == "a" and given[name].startswith("https://git.example.com/")
                assert given[name].startswith(("/", "#")) or outside, given[name]
        if "id" in given and tag != "symbol":
            assert given["id"] not in self.ids
            self.ids.append(given["id"])
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert "script" not in self._open[-1:] or not data.strip()
        self.said.append(data)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder, sampled(Path(folder), 30) as facts, serving(facts) as site:
        yield site


def ask(site: Site, path: str) -> tuple[int, dict[str, str], bytes]:
    request = Request(site.url + path, headers={"accept": "text/html"})
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def see(site: Site, path: str, status: int = 200) -> Page:
    found, _, body = ask(site, path)
    assert found == status, body.decode()
    return Page(body.decode())


# --- what every page is -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_page_is_whole_has_its_landmarks_and_asks_nobody_else_for_anything(path: str, site: Site) -> None:
    _, headers, body = ask(site, path)
    page = Page(body.decode())
    assert (page.tags.count("main"), page.tags.count("h1")) == (1, 1)
    assert page.source.count('<script src="/static/') == page.tags.count("script") == 3
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("shape", ["board", "environment", "compare", "timeline", "audit", "problem"])
def test_a_text_from_outside_stays_text(shape: str, text: str) -> None:
    page = Page(_hostile(shape, text))
    own = Page(_hostile(shape, "plain"))
    # as many elements as for a harmless text, but for pieces of code that the text marks, and links that it can't be
    assert {tag: count for tag, count in _counted(page).items() if tag not in ("code", "a")} == {
        tag: count for tag, count in _counted(own).items() if tag not in ("code", "a")
    }
    assert not [one for one in page.links if "alert" in one and not one.startswith("/")]
    assert re.search(r"[\x00-\x09\x0b-\x1f\u200e\u200f\u2028-\u202e\u2066-\u2069]", page.source) is None
    assert len(page.source) < 1_200_000


def _counted(page: Page) -> dict[str, int]:
    return {tag: page.tags.count(tag) for tag in set(page.tags)}


def _hostile(shape: str, text: str) -> str:
    every: dict[str, Callable[[], str]] = {
        "board": lambda: PAGES.board(made(Board, text), NOON),
        "environment": lambda: PAGES.environment(made(EnvironmentPage, text), NOON),
        "compare": lambda: PAGES.compare(made(Comparison, text), NOON, text, text),
        "timeline": lambda: PAGES.timeline(made(Timeline, text), NOON),
        "audit": lambda: PAGES.audit(made(Record, text), NOON),
        "problem": lambda: PAGES.problem(Problem(text, text, text, [Hint(text, f"/environments/{text}")]), NOON),
    }
    return every[shape]()


@pytest.mark.parametrize(
    "path",
    [
        "/?page=abc&state=%3Cscript%3E&text=%00%ff",
        "/?page=99999999999999999999",
        "/timeline?days=1000000&scope=%22%3E",
        "/audit?before=-1&kind=nothing",
        "/environments/shop/prod?before=x",
        f"/compare?left={'a' * 3000}&right=%0a",
    ],
)
def test_what_makes_no_sense_behind_the_question_mark_is_passed_over(path: str, site: Site) -> None:
    see(site, path)


def test_links_begin_with_the_path_of_the_public_address(site: Site) -> None:
    with serving(site.facts, "https://example.com/deploy/") as below:
        for path in ("/", "/environments/shop/prod", "/audit", "/nowhere"):
            links = Page(ask(below, path)[2].decode()).links
            assert {link.split("/")[1] for link in links if link.startswith("/")} == {"deploy"}


def test_no_path_of_the_public_address_makes_links_to_another_host(site: Site) -> None:
    with serving(site.facts, "https://example.com//evil.example/") as below:
        links = Page(ask(below, "/")[2].decode()).links
        assert not [link for link in links if link.startswith("//")]


def test_the_first_page_is_small(site: Site) -> None:
    page = gzip.compress(ask(site, "/")[2])
    files = [gzip.compress(asset.body) for asset in assets.load().values()]
    assert len(page) + sum(map(len, files)) < 50_000


# --- the board ----------------------------------------------------------------------------------


def test_the_board_says_what_is_live_what_is_held_why_and_what_to_do(site: Site) -> None:
    page = see(site, "/")
    assert "2 held" in page.text
    assert "/environments/shop/prod" in page.links
    card = Page(re.findall(r'<article[^>]* data-environment="shop/prod">.*?</article>', page.source, re.DOTALL)[0])
    for said in ("ApprovalMissing", "nobody approved run 107", "Next let somebody else merge it", "run 107 declared"):
        assert said in card.text, said
    assert "/reasons/ApprovalMissing" in page.links
    assert "https://git.example.com/acme/deploy/pull/12" in page.links


def test_a_long_board_names_two_of_each_bad_state_first_and_leads_to_the_others(site: Site) -> None:
    worst = [(card.name, card.state) for card in board(site.facts, BoardQuery()).worst]
    assert [state for _, state in worst] == sorted((state for _, state in worst), key=BAD.index)
    assert {name for name, _ in worst} > {"basket/prod", "images/prod", "mail/staging", "shop/prod"}
    page = see(site, "/")
    assert page.text.index("Worst first") < page.text.index("mail/staging") < page.text.index("Sync")
    for query in (BoardQuery(state=BAD[0]), BoardQuery("shop"), BoardQuery(page=2)):
        assert board(site.facts, query).worst == ()


def test_the_two_axes_stand_apart_on_each_card(site: Site) -> None:
    cards = re.findall(r"<article.*?</article>", see(site, "/").source, re.DOTALL)
    assert len(cards) == 30
    for card in cards:
        assert re.search(r"<dt>Sync</dt><dd>.+?</dd>.*<dt>Health</dt><dd>.+?</dd>", card)


def test_a_count_leads_to_those_that_stand_so(site: Site) -> None:
    whole = see(site, "/")
    assert "/?state=frozen" in whole.links
    page = see(site, "/?state=frozen")
    assert page.tags.count("article") == 2
    assert "2 of 30 environments, frozen" in page.text


def test_a_search_that_finds_nothing_says_so_and_leads_back(site: Site) -> None:
    page = see(site, "/?text=nowhere")
    assert page.tags.count("article") == 0
    assert "No environment has nowhere in its name" in page.text
    assert "/" in page.links


def test_a_board_without_environments_says_what_to_do() -> None:
    empty = replace(made(Board, "x"), rows=(), total=0, found=0, counts={}, worst=(), trouble="", query=BoardQuery())
    page = Page(PAGES.board(empty, NOON))
    assert "No environments yet" in page.text
    assert "reconciler validate" in page.text


def test_that_the_branch_is_not_followed_is_said_above_all_else(site: Site) -> None:
    told = replace(board(site.facts, BoardQuery()), trouble="the branch was rewritten")
    page = Page(PAGES.board(told, NOON))
    assert page.text.index("the branch was rewritten") < page.text.index("Worst first")
    assert 'role="alert"' in page.source


def test_live_updates_go_on_behind_what_the_page_shows(site: Site) -> None:
    shown = board(site.facts, BoardQuery())
    assert f'data-after="{shown.last_event}"' in see(site, "/").source
    site.change("shop/dev", message="something else", hint="look")
    assert board(site.facts, BoardQuery()).last_event >= shown.last_event


# --- one environment ----------------------------------------------------------------------------


def test_an_environment_shows_its_proof_gates_history_and_what_can_be_done(site: Site) -> None:
    page = see(site, "/environments/basket/prod")
    for said in (
        *("Proof, from CI to the disk", "CI built it", "On disk", "Gates", "approval", "HealthCheckFailed"),
        *("What you can do", "reconciler retry basket/prod", "rollback by itself", "listening on 8080"),
    ):
        assert said in page.text, said
    for link in ("/compare?left=basket%2Fprod&right=basket%2Fstaging", "/audit?environment=basket%2Fprod"):
        see(site, next(one for one in page.links if one == link))


def test_drift_is_shown_path_by_path(site: Site) -> None:
    page = see(site, "/environments/images/prod")
    assert "lib/extra.txt foreign" in page.text
    assert "bin/app content" in page.text


def test_a_name_that_nobody_knows_leads_to_those_that_may_be_meant(site: Site) -> None:
    page = see(site, "/environments/shp/prod", 404)
    assert "Nobody knows an environment shp/prod" in page.text
    assert "/environments/shop/prod" in page.links
    assert "/environments/shop/prod" in see(site, "/shop/prod", 404).links


# --- compare, timeline, audit, reasons ----------------------------------------------------------


def test_two_environments_are_compared_file_by_file(site: Site) -> None:
    page = see(site, "/compare?left=shop/prod&right=shop/dev")
    assert "1 changed 1 added 1 removed 30 unchanged" in page.text
    assert "bin/app" in page.text
    assert "Promote shop/dev to run 108" in page.text


def test_the_timeline_draws_what_it_also_lists(site: Site) -> None:
    page = see(site, "/timeline")
    assert "Change failure rate" in page.text
    assert page.source.count('class="plot"') == page.source.count("<summary>As a table</summary>") == 2
    for plot in re.findall(r'<svg class="plot".*?</svg>', page.source, re.DOTALL):
        assert "<title" in plot
        assert "<desc" in plot
    assert see(site, "/timeline?days=7").source.count("selected") == 1


def test_the_record_is_shown_as_verified_and_its_export_verifies(site: Site) -> None:
    page = see(site, "/audit")
    assert re.search(r"Verified \d+ entries", page.text)
    assert "/audit/export" in page.links
    status, headers, body = ask(site, "/audit/export")
    assert status == 200
    assert headers["content-disposition"].startswith('attachment; filename="audit-')
    found = verify(body.splitlines(keepends=True))
    assert found.intact, found.problems
    assert found.entries > 100


def test_older_entries_are_one_page_further(site: Site) -> None:
    older = next(link for link in see(site, "/audit").links if "before=" in link)
    assert re.search(r"before=\d+", older)
    assert "Newest" in see(site, older).text


def test_what_is_wrong_with_the_record_is_no_footnote() -> None:
    record = made(Record, "entry 7 was edited")
    page = Page(PAGES.audit(record, NOON))
    assert "Not whole" in page.text
    assert 'role="alert"' in page.source
    assert "Verified" not in page.text


def test_every_reason_has_its_page_with_those_that_stand_so(site: Site) -> None:
    listed = see(site, "/reasons")
    assert {f"/reasons/{reason}" for reason in Reason} <= set(listed.links)
    page = see(site, "/reasons/healthcheckfailed")
    assert "What to do" in page.text
    assert "/environments/basket/prod" in page.links
    assert "/reasons/ApprovalMissing" in see(site, "/reasons/ApprovalMising", 404).links
    for one in reason_pages():
        Page(PAGES.reason(one, [], NOON))


# --- styles and scripts -------------------------------------------------------------------------


def test_styles_and_scripts_are_kept_for_ever_under_a_name_of_their_content(site: Site) -> None:
    for link in re.findall(r'"(/static/[^"]+)"', see(site, "/").source):
        status, headers, _ = ask(site, link)
        assert status == 200
        assert "immutable" in headers["cache-control"]
        assert re.search(r"\.[0-9a-f]{12}\.", link)
    assert ask(site, "/static/app.000000000000.css")[0] == 404
    assert ask(site, "/static/..%2f..%2fapplication.py")[0] == 404
