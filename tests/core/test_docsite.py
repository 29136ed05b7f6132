"""The documentation's tools: what appears by itself, links that leave the pages, and what a built site may not do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from reconciler.cli.app import COMMANDS
from tools.docsite import api, commands, figures, keys, links, pages
from tools.docsite.places import DOCS, ROOT


class Inner(BaseModel):
    """A model within one."""

    name: str = Field(description="what it is called")


class Outer(BaseModel):
    """One key of each form."""

    wait_seconds: Annotated[float, Field(ge=0.5, le=60)] = Field(5.0, description="how long")
    size_bytes: int = Field(1024, gt=0, description="how much")
    kind: Literal["a", "b"] = Field("a", description="a or b: which *one*")
    told: bool = Field(False, description="true or false: whether a|b is told")
    from_: str | None = Field(None, alias="from", description="who")
    rules: tuple[Inner, ...] = Field((), description="a list")
    named: dict[str, Inner] = Field(default_factory=dict, description="by name")
    one: Inner | None = Field(None, description="one of them")


TABLE = """\
| key | default | takes | meaning |
| --- | --- | --- | --- |
| `x.wait_seconds` | `5` | seconds from 0.5 to 60 | how long |
| `x.size_bytes` | `1024` | bytes above 0 | how much |
| `x.kind` | `a` | `a` or `b` | which \\*one\\* |
| `x.told` | `false` | `true` or `false` | whether a\\|b is told |
| `x.from` |  | text | who |
| `x.rules` | `[]` | list | a list |
| `x.rules[].name` | required | text | what it is called |
| `x.named` |  | mapping | by name |
| `x.named.<name>.name` | required | text | what it is called |
| `x.one` |  | mapping | one of them |
| `x.one.name` | required | text | what it is called |
"""

LINKS = [
    ("[a](../tools/setup.py)", "a"),
    ("[a](cli.md#promote)", "[a](cli.md#promote)"),
    ("[a](adr)", "[a](adr/README.md)"),
    ("![a](plan.png)", "![a](plan.png)"),
    ("[a](https://example.com/x)", "[a](https://example.com/x)"),
    ("```\n[a](../x)\n```", "```\n[a](../x)\n```"),
]

SITES = {
    "a script from elsewhere": ('<script src="https://cdn.example.com/x.js"></script>', "fetches https://cdn"),
    "a script without a scheme": ('<script src="//cdn.example.com/x.js"></script>', "fetches //cdn"),
    "a picture from elsewhere": ('<img src="https://example.com/x.png">', "fetches https://example.com"),
    "a style from elsewhere": ('<link rel="stylesheet" href="https://example.com/x.css">', "fetches https://example"),
    "a style in the page": ("<p style=\"background: url('https://example.com/x')\">", "fetches https://example.com"),
    "a picture that is not there": ('<img src="x.png">', "fetches x.png, which is not there"),
    "a page that is not there": ('<a href="gone.html">', "leads to gone.html, which is not there"),
    "a place that is not there": ('<a href="other.html#gone">', "a place which that page does not have"),
}

DESCRIPTION = {
    "paths": {
        "/api/v1/things": {
            "get": {
                "summary": "List things",
                "parameters": [{"name": "text", "in": "query", "schema": {"type": "string"}, "description": "words"}],
                "responses": {
                    "200": {"description": "Them", "content": {"application/json": {"schema": {"$ref": "#/Thing"}}}}
                },
            }
        }
    },
    "components": {"schemas": {"Thing": {"properties": {"name": {"type": "string", "description": "its name"}}}}},
}


def test_a_key_appears_with_its_default_its_form_and_its_meaning() -> None:
    assert keys.table(list(keys.rows(Outer, "x.")), takes=True) == TABLE


@pytest.mark.parametrize(("written", "wanted"), LINKS)
def test_a_link_holds_on_the_site_or_leads_nowhere(written: str, wanted: str) -> None:
    assert pages.rebased(written, DOCS, DOCS / "page.md") == wanted


def test_a_link_of_the_readme_is_meant_from_its_own_folder() -> None:
    assert pages.rebased("[a](docs/plan.md)", ROOT, DOCS / "how-to" / "x.md") == "[a](../plan.md)"


def test_a_reason_in_a_text_leads_to_its_page() -> None:
    written = "## `Frozen`\n`Frozen` or [`Soaking`](x.md)\n```\n`Frozen`\n```\n"
    wanted = "## `Frozen`\n[`Frozen`](../reasons/Frozen.md) or [`Soaking`](x.md)\n```\n`Frozen`\n```\n"
    assert pages.explained(written, DOCS / "how-to" / "x.md") == wanted
    assert pages.explained("`Frozen`", DOCS / "reasons" / "Frozen.md") == "`Frozen`"


@pytest.mark.parametrize(("body", "problem"), SITES.values(), ids=SITES.keys())
def test_a_built_page_that_needs_somebody_or_leads_nowhere_is_found(body: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(body)
    (tmp_path / "other.html").write_text("<h2 id='here'>")
    (found,) = links.problems(tmp_path)
    assert found.startswith("index.html: ")
    assert problem in found


def test_a_style_sheet_that_needs_somebody_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("@import 'https://fonts.example.com/x'; p {background: url(//example.com/y)}")
    assert len(links.problems(tmp_path)) == 2


def test_a_site_that_needs_nobody_is_fine(tmp_path: Path) -> None:
    body = '<img src="x.png"><a href="other.html#here">a</a><a href="https://example.com">b</a>'
    (tmp_path / "index.html").write_text(body + '<a href="#up">c</a><p id=up>')
    (tmp_path / "other.html").write_text("<h2 id='here'>")
    (tmp_path / "x.png").touch()
    assert links.problems(tmp_path) == []


def test_every_command_has_its_help_under_its_name() -> None:
    text = commands.reference()
    for name in (name for names in commands.groups().values() for name in names):
        assert f"\n### {name}\n\n```text\nUsage: reconciler {name} " in text
    assert {name.split()[0] for names in commands.groups().values() for name in names} == set(COMMANDS)


def test_a_route_appears_with_its_parameters_its_answers_and_their_shape() -> None:
    text = api.render(DESCRIPTION)
    assert "## GET /api/v1/things\n\nList things\n" in text
    assert "| `text` | query | string | words |" in text
    assert "| 200 | Them | `application/json` [Thing](#thing) |" in text
    assert "### Thing\n\n| key | takes | meaning |\n| --- | --- | --- |\n| `name` | string | its name |" in text


def test_a_section_of_the_settings_that_has_no_place_yet_is_told_at_the_end() -> None:
    tables = {"settings.old": lambda: "old table", "settings.new": lambda: "new table", "metrics": lambda: "m"}
    text = "<!-- table: settings.old -->\n<!-- table: end -->\n<!-- table: settings.rest -->\n<!-- table: end -->\n"
    filled = pages.fill(text, tables)
    assert filled.count("old table") == 1
    assert "**new**\n\nnew table" in filled
    assert pages.fill(filled, tables) == filled


def test_the_figures_for_a_machine_are_those_that_were_measured_last() -> None:
    text = figures.sizing(DOCS / "performance.json")
    assert "**A poll while nothing changes**" in text
    assert "ms CPU" in text
