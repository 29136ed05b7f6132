"""The routes."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from reconciler.web.guard import Guard
from reconciler.web.journal import Journal
from reconciler.web.webhooks import Hooks

_PROBE = ["GET", "HEAD"]
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The Prometheus text format, as every version of its server takes it."""


def app(
    hooks: Hooks | None, ready: Callable[[], bool], journal: Journal, metrics: Callable[[], bytes] | None = None
) -> FastAPI:
    """The application.

    Args:
        hooks: Takes deliveries; None: there is no such route.
        ready: Whether the repository was looked at once, so that what is told is of now.
        journal: Told what went wrong.
        metrics: Makes the answer to a scrape; None: there is no such route.
    """
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    made.add_middleware(Guard, trouble=journal.trouble)

    async def livez() -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def readyz() -> JSONResponse:
        return JSONResponse({"status": "ready"}) if ready() else JSONResponse({"status": "starting"}, 503)

    async def healthz() -> JSONResponse:
        answered = ready()
        return JSONResponse({"live": True, "ready": answered}, 200 if answered else 503)

    made.add_api_route("/livez", livez, methods=_PROBE)
    made.add_api_route("/readyz", readyz, methods=_PROBE)
    made.add_api_route("/healthz", healthz, methods=_PROBE)
    if metrics is not None:
        # Not a coroutine: it is made in a thread of its own, and probes and webhooks don't wait for it.
        def scrape() -> Response:
            return Response(metrics(), headers={"content-type": _TEXT})

        made.add_api_route("/metrics", scrape, methods=["GET"], response_model=None)
    if hooks is not None:
        made.add_api_route("/api/webhook/github", hooks.receive, methods=["POST"], response_model=None)
    return made
