"""The routes, and what is around all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Scope

from reconciler import __version__
from reconciler.errors import ReconcilerError
from reconciler.views.facts import Facts
from reconciler.views.record import Records
from reconciler.web.access import Access
from reconciler.web.api import ABOUT, ROOT, TITLE, add_api, invalid
from reconciler.web.guard import Guard
from reconciler.web.journal import Journal
from reconciler.web.live import Feed
from reconciler.web.pages import add_pages, problem_page
from reconciler.web.readers import OPEN, Readers
from reconciler.web.refusals import Refusal, Refusals, phrase, plain_page
from reconciler.web.webhooks import Hooks

_PROBE = ["GET", "HEAD"]
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The Prometheus text format, as every version of its server takes it."""
_TITLES = {401: "Who are you?", 403: "Not for you", 404: "No such page", 405: "Not that way", 503: "Not now"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What people and programs can read, and who may."""

    facts: Facts
    access: Access
    feed: Feed
    url: str = ""
    """Where people reach the pages; empty: as they asked."""


def app(
    hooks: Hooks | None,
    ready: Callable[[], bool],
    journal: Journal,
    metrics: Callable[[], bytes] | None = None,
    shown: Shown | None = None,
) -> FastAPI:
    """The application.

    Args:
        hooks: Takes deliveries; None: there is no such route.
        ready: Whether the repository was looked at once, so that what is told is of now.
        journal: Told what went wrong.
        metrics: Makes the answer to a scrape; None: there is no such route.
        shown: Pages, API and live events; None: there are none.
    """
    made = FastAPI(
        title=TITLE,
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{ROOT}/openapi.json" if shown else None,
        redirect_slashes=False,
    )
    made.state.refusals = refusals = Refusals()
    made.add_middleware(Readers, access=shown.access if shown else None, refusals=lambda: refusals)
    made.add_middleware(Guard, trouble=journal.trouble, refusals=lambda: refusals)
    _add_probes(made, ready)
    if metrics is not None:
        turn = asyncio.Semaphore(1)  # anybody may ask, and as often as they like

        async def scrape() -> Response:
            async with turn:  # in a thread of its own: probes and webhooks don't wait for it
                return Response(await run_in_threadpool(metrics), headers={"content-type": _TEXT})

        made.add_api_route("/metrics", scrape, methods=["GET"], response_model=None, include_in_schema=False)
    if hooks is not None:
        path = "/api/webhook/github"
        made.add_api_route(path, hooks.receive, methods=["POST"], response_model=None, include_in_schema=False)
    _refuse(made, refusals, journal)
    if shown is not None:
        records = Records(shown.facts)
        add_api(made, shown.facts, records, shown.feed)
        add_pages(made, shown.facts, records, shown.url)
        refusals.page = _page
    return made


def _add_probes(made: FastAPI, ready: Callable[[], bool]) -> None:
    async def livez() -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def readyz() -> JSONResponse:
        return JSONResponse({"status": "ready"}) if ready() else JSONResponse({"status": "starting"}, 503)

    async def healthz() -> JSONResponse:
        answered = ready()
        return JSONResponse({"live": True, "ready": answered}, 200 if answered else 503)

    for probe in (livez, readyz, healthz):
        made.add_api_route(f"/{probe.__name__}", probe, methods=_PROBE, include_in_schema=False)


def _refuse(made: FastAPI, refusals: Refusals, journal: Journal) -> None:
    """What is answered where nothing else is."""

    # Not a coroutine: the page of an address that is nothing looks for names that are near, in a thread of its own.
    def http(request: Request, error: Exception) -> Response:
        status, headers = cast("HTTPException", error).status_code, cast("HTTPException", error).headers or {}
        reason, message, hint = _UNANSWERED.get(status, (phrase(status).replace(" ", ""), phrase(status).lower(), ""))
        return refusals.answer(request.scope, Refusal(status, reason, message, hint, headers))

    async def parameters(request: Request, error: Exception) -> Response:
        return refusals.answer(request.scope, invalid(cast("RequestValidationError", error)))

    async def trouble(request: Request, error: Exception) -> Response:
        problem = cast("ReconcilerError", error)
        journal.trouble(problem)
        refusal = Refusal(503, str(problem.reason), "this can't be told now", "the daemon's log says why; try again")
        return refusals.answer(request.scope, refusal)

    made.add_exception_handler(HTTPException, http)
    made.add_exception_handler(RequestValidationError, parameters)
    made.add_exception_handler(ReconcilerError, trouble)


_UNANSWERED = {
    404: ("NotFound", "there is nothing here", f"GET {ROOT}/openapi.json lists what there is"),
    405: ("MethodNotAllowed", "this can't be asked in that way", "nothing can be changed here: use GET"),
}


def _page(scope: Scope, refusal: Refusal) -> Response:
    if scope["path"] in OPEN:  # whoever asks there may be anybody: they are told nothing of what is here
        return HTMLResponse(plain_page(refusal))
    title = _TITLES.get(refusal.status, phrase(refusal.status))
    return problem_page(Request(scope), refusal.status, title, refusal.message, refusal.hint)
