"""Each reason has a page, written as all of them are, and the index leads there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler import reasonpages
from reconciler.cli.app import COMMANDS
from reconciler.errors import Reason
from reconciler.model import Gate
from reconciler.reasonpages import Block, Kind, Span

DOCS = Path(__file__).parents[2] / "docs"
PAGES = DOCS / "reasons"
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_page_with_the_same_headings(reason: Reason) -> None:
    page = reasonpages.page(reason)  # which parses it, and refuses other headings
    assert page.summary.endswith(".")
    assert all(section.blocks for section in page.sections)
    assert page.related
    assert reason not in page.related


def test_no_page_is_about_a_reason_that_is_gone() -> None:
    assert {file.name for file in PAGES.iterdir()} == {f"{reason}.md" for reason in Reason}


@pytest.mark.parametrize("reason", Reason)
def test_the_links_and_commands_of_a_page_lead_somewhere(reason: Reason) -> None:
    text = (PAGES / f"{reason}.md").read_text()
    for file, anchor in _LINK.findall(text):
        assert (PAGES / file).is_file(), file
        assert not anchor or anchor in anchors(PAGES / file), f"{file}#{anchor}"
    typed = re.findall(r"^\$ (?:\w+=\S+ )?reconciler (\S+)", text, re.MULTILINE)
    typed += re.findall(r"`reconciler ([a-z-]+)", text)
    assert set(typed) <= {*COMMANDS, "COMMAND"}


def test_a_page_is_given_by_a_gate_or_by_something_with_a_name() -> None:
    others = {"the look at what is live", "publishing", "the daemon"}
    assert {page.given_by for page in reasonpages.pages()} == {f"the gate {gate}" for gate in Gate} | others


def test_the_index_has_each_page_with_its_sentence_under_what_gives_it() -> None:
    sections = re.split(r"^## ", (DOCS / "reasons.md").read_text(), flags=re.MULTILINE)[1:]
    listed = {
        (title.lower(), code, means)
        for title, _, body in (section.partition("\n") for section in sections)
        for code, file, means in re.findall(r"^\| \[(\w+)\]\(reasons/(\w+)\.md\) \| (.+) \|$", body, re.MULTILINE)
        if code == file
    }
    assert listed == {(page.given_by, page.reason.value, page.summary) for page in reasonpages.pages()}


def test_a_page_with_other_headings_is_refused() -> None:
    text = reasonpages.page(Reason.SOAKING).text
    with pytest.raises(ValueError, match="other headings"):
        reasonpages.parse(Reason.SOAKING, text.replace("## What to do", "## What to try"))
    with pytest.raises(ValueError, match="does not begin"):
        reasonpages.parse(Reason.FROZEN, text)


def test_a_page_comes_apart_into_paragraphs_lists_and_code() -> None:
    text = reasonpages.page(Reason.SOAKING).text.replace(
        "## Related", "- one\n  more\n- two\n\n```console\n$ x\n```\n\n## Related"
    )
    blocks = reasonpages.parse(Reason.SOAKING, text).sections[4].blocks
    assert blocks[1:] == (Block(Kind.LIST, ("one more", "two")), Block(Kind.CODE, ("$ x",)))
    assert reasonpages.spans("see `a b`, [c d](../e.md#f).") == (
        Span("see "),
        Span("a b", code=True),
        Span(", "),
        Span("c d", link="../e.md#f"),
        Span("."),
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("selfapproval", Reason.SELF_APPROVAL),
        ("SELF_APPROVAL", Reason.SELF_APPROVAL),
        ("self-approval", Reason.SELF_APPROVAL),
        ("selfaproval", None),
        ("", None),
    ],
)
def test_a_reason_is_found_however_it_is_typed(typed: str, meant: Reason | None) -> None:
    assert reasonpages.find(typed) is meant


def test_a_mistyped_or_half_typed_reason_has_its_likeliest() -> None:
    assert reasonpages.closest("selfaproval")[0] is Reason.SELF_APPROVAL
    assert Reason.APPROVAL_STALE in reasonpages.closest("approval")
    assert reasonpages.closest("zzzz") == ()
