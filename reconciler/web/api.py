"""The HTTP API: what the pages show and the command line prints, for programs. It changes nothing.

Its endpoints are plain functions: they run in threads, and the event loop never waits for one.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from reconciler import documents
from reconciler.core.readable import escape
from reconciler.model import EnvironmentName, OperatorHand, Status
from reconciler.views.board import Board, BoardQuery, board, words_of
from reconciler.views.cards import NOTHING_ASKED, unseen
from reconciler.views.compare import comparison
from reconciler.views.environment import EnvironmentPage, environment_page
from reconciler.views.facts import Facts
from reconciler.views.figures import TimelineQuery, timeline
from reconciler.views.record import RecordQuery, Records
from reconciler.views.states import state_of
from reconciler.web import shapes
from reconciler.web.described import answer
from reconciler.web.live import Feed
from reconciler.web.parameters import (
    LAST,
    TEXT,
    BoardParameters,
    CompareParameters,
    EventParameters,
    FigureParameters,
    FollowParameters,
    HistoryParameters,
    RecordParameters,
)
from reconciler.web.readers import EVENTS
from reconciler.web.refusals import Refusal, Refused

ROOT = "/api/v1"
HISTORY = "/attempts"
TITLE = "reconciler"
ABOUT = """Where every environment stands, what was done, and on what evidence. Read-only: nothing changes by it.

Every document has `apiVersion` and `kind`, and the same keys as the command line's `-o json`; keys are only ever added.
Lists come in pages: ask again with what `next` says, until it is null. A refusal is a document of kind `Error` with a
`reason`, a `message` and a `hint`."""
_AT_ONCE = 200
"""Environments of a stream between two times that it lets others go on."""
_NEAR = 3
_CANDIDATES = 2_000
"""Names that are compared with one that nobody knows."""
_Name = Annotated[str, Path(description="the environment's name, with its slashes as they are")]


def add_api(app: FastAPI, facts: Facts, records: Records, feed: Feed) -> None:
    """Answer programs.

    Args:
        app: Gets the routes.
        facts: What is told.
        records: Pages of the audit record.
        feed: Live events.
    """
    api = _Api(facts, records)
    for path, endpoint, kind, told in (
        ("/environments", api.environments, "EnvironmentList", "One page of the board: environments by service"),
        (f"/environments/{{name:path}}{HISTORY}", api.attempts, "AttemptList", "One page of a history, newest first"),
        ("/environments/{name:path}", api.environment, "Environment", "All that is known of one environment"),
        ("/events", api.events, "EventList", "Changes of state, oldest first"),
        ("/audit", api.audit, "AuditEntryList", "Audit entries, newest first, and how far the chain was verified"),
        ("/figures", api.figures, "Figures", "Deployments by day, and the four figures of DORA"),
        ("/compare", api.compare, "Comparison", "Two artifacts: files, sizes, and the commits between them"),
    ):
        _add(app, f"{ROOT}{path}", endpoint, kind, told)
    _add_events(app, feed)


def _add(app: FastAPI, path: str, endpoint: Callable[..., Response], kind: str, told: str) -> None:
    app.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        operation_id=endpoint.__name__,
        summary=(endpoint.__doc__ or "").strip().partition("\n")[0],
        tags=["api"],
        response_class=JSONResponse,
        response_model=None,
        responses={200: answer(told, kind), "4XX": answer("Why not, and what to do", "Error")},
    )


class _Api:
    """All of it but live events."""

    def __init__(self, facts: Facts, records: Records) -> None:
        self._facts = facts
        self._records = records

    def environments(self, asked: Annotated[BoardParameters, Query()]) -> Response:
        """List environments."""
        if asked.all:
            return StreamingResponse(self._every(asked), media_type="application/jsonl")
        shown = board(self._facts, BoardQuery(asked.text, asked.state, asked.page))
        return JSONResponse(shapes.environments(shown, list(self._items(shown))))

    def environment(self, name: _Name) -> Response:
        """Show one environment."""
        return JSONResponse(shapes.page(self._page(name, None)))

    def attempts(self, name: _Name, asked: Annotated[HistoryParameters, Query()]) -> Response:
        """List the attempts of an environment."""
        whole = f"{name}{HISTORY}"
        if name not in self._facts.statuses() and whole in self._facts.statuses():
            return self.environment(whole)  # one that is called so
        return JSONResponse(shapes.attempts(self._page(name, asked.before)))

    def events(self, asked: Annotated[EventParameters, Query()]) -> Response:
        """List changes of state."""
        environment = EnvironmentName(asked.environment) if asked.environment else None
        found = self._facts.store.transitions_from(asked.after, asked.limit, environment)
        return JSONResponse(shapes.events(found, asked.limit, asked.after))

    def audit(self, asked: Annotated[RecordParameters, Query()]) -> Response:
        """List audit entries."""
        query = RecordQuery(asked.text, asked.environment, asked.kind or "", asked.before)
        return JSONResponse(shapes.record(self._records.page(query)))

    def figures(self, asked: Annotated[FigureParameters, Query()]) -> Response:
        """Tell how often, how fast and how well is deployed."""
        return JSONResponse(shapes.figures(timeline(self._facts, TimelineQuery(asked.scope, asked.days))))

    def compare(self, asked: Annotated[CompareParameters, Query()]) -> Response:
        """Compare two artifacts."""
        return JSONResponse(shapes.comparison(comparison(self._facts, asked.left, asked.right)))

    def _page(self, name: str, before: int | None) -> EnvironmentPage:
        found = environment_page(self._facts, EnvironmentName(name), before) if len(name) <= TEXT else None
        if found is None:
            raise Refused(self._unknown(name[:TEXT]))
        return found

    def _items(self, shown: Board) -> Iterator[documents.Document]:
        statuses, hands = self._facts.statuses(), self._facts.store.hands()
        for row in shown.rows:
            for card in row.cards:
                status = statuses.get(card.name) or unseen(card.name, self._facts.catalog.tip)
                told = documents.environment(status, hands.get(card.name, NOTHING_ASKED))
                yield {**told, "service": row.service, **shapes.card(card)}

    def _every(self, asked: BoardParameters) -> Iterator[str]:
        """Of each environment that has a status, the document that the board has of it, without what a page adds."""
        statuses, hands = self._facts.statuses(), self._facts.store.hands()
        names = sorted(statuses)
        for first in range(0, len(names), _AT_ONCE):
            some = [(statuses[name], hands.get(name, NOTHING_ASKED)) for name in names[first : first + _AT_ONCE]]
            wanted = [documents.environment(status, hand) for status, hand in some if _is_wanted(status, hand, asked)]
            yield "".join(documents.line(documents.kind("Environment", item)) + "\n" for item in wanted)

    def _unknown(self, name: str) -> Refusal:
        names = sorted(self._facts.statuses())
        close = difflib.get_close_matches(name, [one for one in names if one[:1] == name[:1]][:_CANDIDATES], _NEAR)
        hint = f"did you mean {' or '.join(close)}?" if close else f"GET {ROOT}/environments lists them"
        return Refusal(404, "NotFound", f"no environment is called {escape(name)!r}", hint)


def _is_wanted(status: Status, hand: OperatorHand, asked: BoardParameters) -> bool:
    if asked.state is not None and state_of(status, hand) is not asked.state:
        return False
    return all(word in status.environment for word in words_of(asked.text))


def _add_events(app: FastAPI, feed: Feed) -> None:
    async def events(after: Annotated[int | None, Depends(_begins)]) -> AsyncIterator[ServerSentEvent]:
        async for event in feed.follow(after):
            yield event

    app.add_api_route(
        EVENTS,
        events,
        methods=["GET"],
        operation_id="follow",
        summary="Follow changes of state as they happen",
        description="Server-Sent Events: `transition` for each, with its number as id and the document of kind `Event` "
        "as data; `reset` when the number that was asked for is none any more, so that all is to be read anew.",
        tags=["events"],
        response_class=EventSourceResponse,
        dependencies=[Depends(feed.place)],  # held while it lasts
        responses={"4XX": answer("Why not, and what to do", "Error")},
    )

    async def head() -> Response:
        return Response(media_type="text/event-stream")

    app.add_api_route(EVENTS, head, methods=["HEAD"], include_in_schema=False)


def _begins(
    asked: Annotated[FollowParameters, Query()],
    last_event_id: Annotated[str, Header(max_length=20, description="the last event that somebody got")] = "",
) -> int | None:
    """The event behind which somebody goes on; None: they begin with the next.

    Raises:
        Refused: It is none.
    """
    if not last_event_id:
        return asked.after
    if not (last_event_id.isascii() and last_event_id.isdigit()) or int(last_event_id) > LAST:
        raise Refused(Refusal(400, "InvalidParameter", "Last-Event-ID is no number of an event", "leave it out"))
    return int(last_event_id)


def invalid(error: RequestValidationError) -> Refusal:
    """Every parameter that is not as it must be; what was given is not repeated."""
    told = [
        f"{_place(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')[:200]}"
        for problem in error.errors()[:10]
    ]
    hint = f"GET {ROOT}/openapi.json has every parameter"
    return Refusal(400, "InvalidParameter", "; ".join(told), hint)


def _place(where: tuple[int | str, ...]) -> str:
    return escape(".".join(str(part)[:80] for part in where[1:])) or "the request"
