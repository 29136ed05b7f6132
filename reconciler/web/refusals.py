"""How no is said: as a document to a program, as a page to a browser. Both say what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus

from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import Scope

from reconciler import documents

API = "/api/"
"""Below this, every answer is a document, whatever the client says that it likes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not answered."""

    status: int
    reason: str
    """One word for programs."""
    message: str
    hint: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Raised where a request ends with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def plain_page(refusal: Refusal) -> str:
    """A page that needs nothing else, for when nothing else may be shown."""
    title = f"{refusal.status} {phrase(refusal.status)}"
    hint = f"<p>{escape(refusal.hint)}</p>" if refusal.hint else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<h1>{escape(title)}</h1>\n<p>{escape(refusal.message)}</p>\n{hint}\n</html>\n"
    )


class Refusals:
    """Puts refusals into answers; `page` makes those for browsers, and may be replaced by one that looks better."""

    def __init__(self) -> None:
        self.page: Callable[[Scope, Refusal], Response] = lambda _, refusal: HTMLResponse(plain_page(refusal))

    def answer(self, scope: Scope, refusal: Refusal) -> Response:
        """In the form that this client reads."""
        if for_browser(scope):
            answer = self.page(scope, refusal)
            answer.status_code = refusal.status
        else:
            said = documents.error(refusal.status, refusal.reason, refusal.message, refusal.hint)
            answer = JSONResponse(said, refusal.status)
        answer.headers.update(refusal.headers)
        return answer


def for_browser(scope: Scope) -> bool:
    """Whether a page is wanted."""
    return not scope["path"].startswith(API) and "text/html" in Headers(scope=scope).get("accept", "")


def phrase(status: int) -> str:
    """What a status is called."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
