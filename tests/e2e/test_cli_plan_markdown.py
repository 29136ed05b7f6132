"""The comment of a pull request, against people who want it to say something else."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from reconciler.cli.planning import text as terminal
from reconciler.core.alterations import Setting
from reconciler.core.contents import FileFact, compare
from reconciler.core.plan import Plan, Proposed
from reconciler.core.plandoc import Brief, ChangePlan, Commits, EnvironmentPlan, Files, PolicyChange, Subject
from reconciler.errors import Reason
from reconciler.model import (
    Action,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Release,
    RunId,
    Verdict,
)
from reconciler.planning import markdown
from reconciler.planning.markdown import LIMIT, comment
from tests.factories import NOON

OLD, NEW = Digest("1" * 64), Digest("2" * 64)
HEAD, BASE = CommitId("a" * 40), CommitId("b" * 40)
HOSTILE = [
    "</details></summary><script>alert(1)</script><img src=x onerror=alert(1)>",
    "x | y || z \\| w \\",
    "```\n# owned\n````` `a` ``b``",
    "@acme/sre please, cc @octocat and someone@example.com",
    "see #12, acme/shop#13, GH-14 and :tada: :100:",
    "[click](javascript:alert(1)) ![pic](https://evil.example/x.png) <https://evil.example>",
    "https://evil.example/x www.evil.example mailto:a@b.example",
    "--> <!-- reconciler-plan head=0 digest=0 -->",
    "**bold** _it_ ~~gone~~ \n\n# Heading\n\n- list\n> quote\n---\n",
    "&lt;b&gt; &#64;team \\@team",
    "\x1b[31mred\u202ertl\u200b\x00",
]
ENV = EnvironmentName("shop/prod")
WANTED = Proposed(Digest("3" * 64), RunId(102), NEW)
LIVE = Release("101-111111111111", RunId(101), OLD)


def environment(text: str, name: str = ENV, files: int = 3, subjects: int = 1) -> EnvironmentPlan:
    """An environment in which every text that comes from outside is this one."""
    facts = {f"{text}/{n}": FileFact(n, False, NEW) for n in range(files)}
    gates = tuple(
        GateResult(gate, Verdict.HELD, Reason.FROZEN, text, (text,) * 9, text, NOON)
        if gate is Gate.FREEZE
        else GateResult(gate, Verdict.PENDING if gate is Gate.APPROVAL else Verdict.PASSED, None, text, (text,))
        for gate in Gate
    )
    environment = EnvironmentName(name)
    return EnvironmentPlan(
        environment=environment,
        file=f"environments/{name}.yaml",
        was=Declared(BASE, RunId(100), OLD),
        wanted=Declared(HEAD, RunId(102), NEW),
        live=LIVE,
        live_unknown=text,
        plan=Plan(environment, Action.DEPLOY, HEAD, WANTED, LIVE, text, gates),
        gates=gates,
        drifted=2,
        target=text,
        settings=tuple(Setting(text, text, text, loosens=True) for _ in range(3)),
        commits=Commits("c" * 40, "d" * 40, (Subject(HEAD, text),) * subjects, more=True),
        files=Files(compare({"gone": FileFact(1, False, OLD)}, facts)),
    )


def plan(*environments: EnvironmentPlan, text: str = "x", concerned: int = 0) -> ChangePlan:
    held = (GateResult(Gate.FREEZE, Verdict.HELD, Reason.FROZEN, text),)
    return ChangePlan(
        base=BASE,
        head=HEAD,
        branch=text,
        as_of=NOON,
        environments=environments,
        concerned=tuple(Brief(EnvironmentName(f"c{n}"), None, None, held) for n in range(concerned)),
        policy=PolicyChange(OLD, NEW, (text,), (Setting("freeze", text, text, loosens=True),)),
        problems=(text,),
    )


class Seen(HTMLParser):
    """What a browser would make of it: tags, and the text that is not in the face of code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.depth = 0
        self.plain: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not dict(attrs).keys() - {"open", "class"}, (tag, attrs)
        self.depth += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if not self.depth:
            self.plain.append(data)


def seen(text: str) -> Seen:
    return Seen(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


def outside_of_fences(written: str) -> str:
    return re.sub(r"^(`{3,})diff\n.*?^\1$", "", written, flags=re.MULTILINE | re.DOTALL)


OURS = seen(comment(plan(environment("harmless"), text="harmless", concerned=2)))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_from_outside_makes_a_tag_or_leaves_its_place(text: str) -> None:
    found = seen(comment(plan(environment(text), text=text, concerned=2)))
    assert found.tags == OURS.tags


@pytest.mark.parametrize("text", HOSTILE)
def test_nobody_is_called_and_nothing_is_linked_shown_or_referred_to(text: str) -> None:
    found = " ".join(seen(comment(plan(environment(text), text=text))).plain)
    assert not re.search(r"[@#:]\w|(?i:gh)-\d|(?i:www)\.|://", re.sub(r"\d\d:\d\d:\d\dZ", "", found))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_raw_address_stands_where_markdown_would_find_it(text: str) -> None:
    outside = outside_of_fences(comment(plan(environment(text), text=text)))
    assert not re.search(r"://|www\.\w|@\w|`|\[|\]|!\[", outside)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_mark_for_programs_stands_once_and_first(text: str) -> None:
    written = comment(plan(environment(text), text=text))
    assert written.splitlines()[0].startswith(f"<!-- reconciler-plan head={HEAD} digest=")
    outside = outside_of_fences(written)
    assert (outside.count("<!--"), outside.count("-->")) == (1, 1)
    assert written.isascii() or all(c.isprintable() or c in "\n\u200b" for c in written.replace("\ufe0f", ""))


@pytest.mark.parametrize(
    ("environments", "text", "files", "concerned"),
    [
        pytest.param(1, "x" * 5000, 5000, 50, id="long texts"),
        pytest.param(1, "&" * 5000, 5000, 50, id="texts of signs that are all spelled out"),
        pytest.param(500, "@" * 300, 200, 50, id="many environments"),
        pytest.param(3000, "plain", 1, 50, id="more environments than a table has room for"),
        pytest.param(1, "`" * 300, 100, 50, id="a path of nothing but rails"),
        pytest.param(2, "\U0001f600" * 300, 100, 50, id="signs beyond the basic plane"),
    ],
)
def test_the_comment_stays_below_its_limit_and_whole(environments: int, text: str, files: int, concerned: int) -> None:
    many = [environment(text, f"{'n' * 190}-{n}", files) for n in range(environments)]
    written = comment(replace(plan(*many, text=text, concerned=concerned), problems=(text,) * 500, more=9))
    assert len(written) < LIMIT
    assert written.count("<details") == written.count("</details>")
    assert "| environment |" in written
    if environments > 100:
        assert re.search(r"\d more", written)
        assert "not shown in full" in written


def test_one_environment_is_always_told_in_full_however_its_texts_look() -> None:
    written = comment(plan(environment("&" * 5000, files=5000, subjects=20)))
    assert "<details" in written
    assert "not shown in full" not in written


def test_every_file_is_counted_though_not_every_one_is_listed() -> None:
    written = comment(plan(environment("lib", files=1284)))
    assert "1,284 added, 1 removed" in written
    assert "and 1,235 more" in written


@pytest.mark.parametrize("loosens", [True, False])
def test_every_table_is_one_to_a_reader(loosens: bool) -> None:
    settings = tuple(Setting(f"field-{n}", n, n + 1, loosens=loosens and n == 1) for n in range(3))
    text = comment(plan(replace(environment("staging"), settings=settings)))
    assert "|---" in text
    assert not any("|---" in words or "field-" in words for words in seen(text).plain)
    assert seen(text).tags.count("table") == text.count("\n|---")


def test_the_text_for_terminals_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    for text in HOSTILE:
        terminal.show(plan(environment(text), text=text, concerned=1))
    out = capsys.readouterr().out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", out)


def test_a_reader_sees_the_words_as_they_were_written() -> None:
    html = MarkdownIt().render(markdown.prose("a_b*c|d<e>&f #1"))
    assert html == "<p>a_b*c|d&lt;e&gt;&amp;f #\u200b1</p>\n"


def test_no_line_closes_the_fence_around_it() -> None:
    lines = ["```", "````", "plain\n```"]
    html = MarkdownIt().render(markdown.fence(lines, "diff"))
    assert html == '<pre><code class="language-diff">```\n````\nplain\\n```\n</code></pre>\n'
