"""Which page answers which address.

All are plain functions: they run in threads, and the event loop never waits. What is true of every answer, such as its
content security policy, is the part of `guard`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from reconciler import reasonpages
from reconciler.core.audit import START, Kind, checkpoint_line, line, trailer
from reconciler.model import EnvironmentName
from reconciler.views.board import BoardQuery, board
from reconciler.views.compare import comparison
from reconciler.views.environment import environment_page
from reconciler.views.facts import Facts
from reconciler.views.figures import DAYS, TimelineQuery, timeline
from reconciler.views.record import RecordQuery, Records
from reconciler.views.states import State
from reconciler.web.pages import assets
from reconciler.web.pages.rendering import Renderer
from reconciler.web.pages.showing import Hint, Pages, Problem

TEXT = 200
"""Characters of one thing that is asked for."""
NEAR = 8
"""Names that are suggested in place of one that nobody knows."""
COMPARED = 2_000
"""Names that one is compared with letter by letter."""

_LAST_PAGE = 1_000_000
_LINES = 100
"""Of an export, that are sent together."""
_DAYS = 30
_METHODS = ["GET", "HEAD"]
_ALL_REASONS = Hint("All reasons", "/reasons")


def add_pages(app: FastAPI, facts: Facts, records: Records, url: str) -> None:
    """Answer people.

    Args:
        app: Gets the routes.
        facts: What the pages are made from.
        records: Pages of the audit record.
        url: Where people reach the pages; its path comes before every link. Empty: as they asked.
    """
    answers = _Answers(facts, records, root_of(url))
    app.state.pages = answers
    for path, page in (
        ("/", answers.board),
        ("/environments/{name:path}", answers.environment),
        ("/compare", answers.compare),
        ("/timeline", answers.timeline),
        ("/audit", answers.audit),
        ("/audit/export", answers.export),
        ("/reasons", answers.reasons),
        ("/reasons/{code}", answers.reason),
        ("/static/{name}", answers.static),
    ):
        app.add_api_route(path, page, methods=_METHODS, response_model=None, include_in_schema=False)


def problem_page(request: Request, status: int, title: str, told: str, hint: str = "") -> Response:
    """A page that says what went wrong; `add_pages` was called for the application of this request.

    Args:
        request: What was asked.
        status: The answer's HTTP status.
        title: In a few words.
        told: In a sentence.
        hint: What somebody can do.
    """
    answers = request.app.state.pages
    assert isinstance(answers, _Answers)
    if status == 404:
        return answers.lost(request.url.path.strip("/"))
    return answers.problem(Problem(title, told, hint), status)


def root_of(url: str) -> str:
    """What comes before every link: the path of an address, which can't be taken for another host's."""
    path = urlsplit(url).path.strip("/")
    return f"/{path}" if path else ""


class _Answers:
    """One function for each address."""

    def __init__(self, facts: Facts, records: Records, root: str) -> None:
        self._facts = facts
        self._records = records
        loaded = assets.load()
        self._static: Mapping[str, assets.Asset] = {asset.name: asset for asset in loaded.values()}
        self._pages = Pages(Renderer(loaded, root))
        self._now = facts.clock.now

    def board(self, request: Request) -> Response:
        """Every environment."""
        asked = _Asked(request)
        query = BoardQuery(asked.text("text"), asked.state(), asked.number("page", _LAST_PAGE) or 1)
        return _page(self._pages.board(board(self._facts, query), self._now()))

    def environment(self, request: Request, name: str) -> Response:
        """One environment."""
        before = _Asked(request).number("before")
        found = environment_page(self._facts, EnvironmentName(name[:TEXT]), before)
        if found is None:
            told = f"Nobody knows an environment {name[:TEXT]}. It may have been renamed, or never been declared."
            return self.problem(Problem("No such environment", told, near=self._near(name[:TEXT])), 404)
        return _page(self._pages.environment(found, self._now(), paged=before is not None))

    def compare(self, request: Request) -> Response:
        """Two artifacts beside each other."""
        asked = _Asked(request)
        left, right = asked.text("left"), asked.text("right")
        return _page(self._pages.compare(comparison(self._facts, left, right), self._now(), left, right))

    def timeline(self, request: Request) -> Response:
        """Deployments over time."""
        asked = _Asked(request)
        days = asked.number("days")
        query = TimelineQuery(asked.text("scope"), days if days in DAYS else _DAYS)
        return _page(self._pages.timeline(timeline(self._facts, query), self._now()))

    def audit(self, request: Request) -> Response:
        """The audit record."""
        asked = _Asked(request)
        kind = asked.text("kind")
        known = kind if kind in tuple(Kind) else ""
        query = RecordQuery(asked.text("text"), asked.text("environment"), known, asked.number("before"))
        return _page(self._pages.audit(self._records.page(query), self._now()))

    def export(self) -> Response:
        """The whole record, a line of JSON for each entry, as `reconciler audit export` writes it."""
        named = f"audit-{self._now():%Y%m%dT%H%M%SZ}.jsonl"
        headers = {"content-disposition": f'attachment; filename="{named}"'}
        return StreamingResponse(_export(self._facts), media_type="application/x-ndjson", headers=headers)

    def reasons(self) -> Response:
        """Every reason."""
        return _page(self._pages.reasons(tuple(reasonpages.pages()), self._now()))

    def reason(self, code: str) -> Response:
        """One reason, what to do about it, and where it stands in the way now."""
        reason = reasonpages.find(code[:TEXT])
        if reason is None:
            near = [*(Hint(one, f"/reasons/{one}") for one in reasonpages.closest(code[:TEXT])), _ALL_REASONS]
            return self.problem(Problem("No such reason", "There is no reason with this code.", near=near), 404)
        stand = sorted(name for name, status in self._facts.statuses().items() if status.reason is reason)
        return _page(self._pages.reason(reasonpages.page(reason), stand, self._now()))

    def static(self, name: str) -> Response:
        """A style or a script."""
        asset = self._static.get(name)
        if asset is None:
            return self.problem(Problem("No such file", "There is no such file here.", "load the page again"), 404)
        return Response(asset.body, media_type=asset.type)

    def problem(self, problem: Problem, status: int) -> Response:
        """What went wrong."""
        return _page(self._pages.problem(problem, self._now()), status)

    def lost(self, path: str) -> Response:
        """An address that is nothing; people who type one by hand leave out where environments are."""
        near = self._near(path.removeprefix("environments/")[:TEXT])
        return self.problem(Problem("No such page", "There is nothing at this address.", near=near), 404)

    def _near(self, name: str) -> list[Hint]:
        names = list(self._facts.statuses())
        near = difflib.get_close_matches(name, names[:COMPARED], NEAR, 0.6)
        near += [other for other in names if name and name in other and other not in near][: NEAR - len(near)]
        return [Hint(other, f"/environments/{other}") for other in near]


class _Asked:
    """What stands behind the `?`; what makes no sense is passed over, as people mistype addresses."""

    def __init__(self, request: Request) -> None:
        self._values = request.query_params

    def text(self, name: str) -> str:
        return self._values.get(name, "").strip()[:TEXT]

    def number(self, name: str, most: int = 2**53) -> int | None:
        said = self._values.get(name, "")
        return min(int(said), most) if said.isascii() and said.isdigit() and len(said) <= 16 else None

    def state(self) -> State | None:
        said = self._values.get("state", "")
        return State(said) if said in tuple(State) else None


def _page(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status)


def _export(facts: Facts) -> Iterator[bytes]:
    """Entries, each checkpoint behind the entry that it speaks of, and the end."""
    checkpoints = sorted(facts.store.checkpoints(), key=lambda made: (made.entries, made.at))
    count, head = 0, START.hash
    lines = list[bytes]()
    for entry in facts.store.audit():
        lines.append(line(entry))
        count, head = count + 1, entry.hash
        while checkpoints and checkpoints[0].entries <= entry.seq:
            lines.append(checkpoint_line(checkpoints.pop(0)))
        if len(lines) >= _LINES:  # each piece is handed from thread to thread
            yield b"".join(lines)
            lines.clear()
    yield b"".join((*lines, *map(checkpoint_line, checkpoints), trailer(count, head)))
